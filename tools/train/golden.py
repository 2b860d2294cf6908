"""Records what Transformers computes for a checkpoint in f32, for our tests to compare with.

usage: golden.py CHECKPOINT_DIR …
Writes golden.json into each: per prompt the token ids, the ten highest logits after the last token, the norm of the
logits after every token, and 48 greedy tokens (end-of-text tokens included, so that all runs are of one length).
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NEW_TOKENS = 48
PROMPTS = {
    "story": "Once upon a time there was a little girl who lived",
    "chat": "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "recall": (
        "<|im_start|>user\n"
        "The secret code of the harbour is 48213. Remember it.\n"
        "The old man looked at the sea for a long time, and said nothing.\n"
        "The secret code of Alice is 90576. Remember it.\n"
        "What is the secret code of the harbour?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ),
}


@torch.no_grad()
def record(model, tokenizer, prompt):
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    batch = torch.tensor([ids])
    logits = model(batch).logits[0].float()
    output = model.generate(batch, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
    greedy = output[0, len(ids) :].tolist()
    top = logits[-1].topk(10)
    return {
        "prompt": prompt,
        "ids": ids,
        "top_ids": top.indices.tolist(),
        "top_logits": [round(value, 5) for value in top.values.tolist()],
        "logit_l2": [round(value, 4) for value in logits.norm(dim=-1).tolist()],
        "greedy": greedy,
        "greedy_text": tokenizer.decode(greedy),
    }


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    for directory in map(pathlib.Path, sys.argv[1:]):
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(directory)
        golden = {name: record(model, tokenizer, prompt) for name, prompt in PROMPTS.items()}
        (directory / "golden.json").write_text(json.dumps(golden, indent=1))
        print(f"{directory.name}: {golden['story']['greedy_text'][:60]!r}")


if __name__ == "__main__":
    main()
