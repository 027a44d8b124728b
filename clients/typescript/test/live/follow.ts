/** `follow.js SYMBOL ...`: every message as a line of JSON, every loss of the connection too; until its input ends. */

import { client } from "./house.js";

const room = client({
  onRetry: ({ closeCode, reason }) => console.log(JSON.stringify({ type: "retry", closeCode, reason })),
});
process.stdin.on("end", () => room.close()).resume();
for await (const message of room.stream(...process.argv.slice(2))) console.log(JSON.stringify(message));
