import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, it } from "vitest";
import { answerUnread } from "./unread-requests.ts";

it("says nothing in the middle of an answer, though a later one of the connection has not begun", async () => {
  const server = createServer((request, response) => {
    if (request.url === "/stream") response.write("begun");
  });
  answerUnread(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const answer = await new Promise<string>((resolve) => {
      const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
      let text = "";
      let isAsked = false;
      socket.on("error", () => {});
      socket.on("data", (data) => {
        text += data;
        if (isAsked || !text.includes("begun")) return;
        isAsked = true;
        socket.write("GET /slow HTTP/1.1\r\nhost: a\r\n\r\nnonsense\r\n\r\n");
      });
      socket.on("close", () => resolve(text));
      socket.write("GET /stream HTTP/1.1\r\nhost: a\r\n\r\n");
    });
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200"]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
