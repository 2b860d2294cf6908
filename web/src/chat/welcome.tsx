/** @file Shown before the first message: what this page is, and suggestions. */
import { engineStore, loadEngine } from "../engine/engine-store.ts";
import { serverModelStore } from "../models/models-store.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { Term } from "../ui/term.tsx";
import { ReachPicture } from "./reach-picture.tsx";
import { STARTERS } from "./starters.ts";
import { askStarter } from "./waiting-question.ts";

export function Welcome() {
  const info = useStore(engineStore, (state) => state.info);
  return (
    <section class="welcome">
      <h1>
        A language model,
        <br />
        and what it remembers.
      </h1>
      <p class="lead">
        A model takes notes on every word it reads, its <Term name="KV cache" />, and in long talks they outgrow the
        model. Here they are kept in a few bits, so the same memory holds a longer talk.
      </p>
      {info && <ReachPicture info={info} />}
      <Place />
      <ul class="starters">
        {STARTERS.map((starter) => (
          <li key={starter.title}>
            <button type="button" class="starter" onClick={() => askStarter(starter)}>
              <span class="starter-title">{starter.title}</span>
              <span class="starter-note">{starter.note}</span>
              <Icon name="send" />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Where the model runs, and where else there is one. */
function Place() {
  const info = useStore(engineStore, ({ info }) => info);
  const serverModel = useStore(serverModelStore);
  if (!info) return null;
  if (info.backendName === "server") return <p class="hint">{info.name} runs on the server.</p>;
  const address = { url: "" };
  return (
    <p class="hint">
      {info.name} runs in this tab.{" "}
      {serverModel && (
        <button
          type="button"
          class="link-button"
          onClick={() => void loadEngine({ where: "server", address, model: serverModel })}
        >
          Talk to {serverModel} on the server
        </button>
      )}
    </p>
  );
}
