import type { ClientMessage } from "./messages.js";

/** The server closes (4429) on who says more than ten frames a second. */
const PER_SECOND = 8;

/** Says frames in order on one connection, held back where they would be too many. */
export class Speaker {
  readonly #send: (text: string) => void;
  readonly #waiting: string[] = [];
  #left = PER_SECOND;
  #countedAt = Date.now();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(send: (text: string) => void) {
    this.#send = send;
  }

  say(message: ClientMessage): void {
    this.#waiting.push(JSON.stringify(message));
    if (this.#timer === undefined) this.#flush();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#waiting.length = 0;
  }

  #flush(): void {
    const now = Date.now();
    this.#left = Math.min(PER_SECOND, this.#left + ((now - this.#countedAt) / 1_000) * PER_SECOND);
    this.#countedAt = now;
    for (; this.#left >= 1; this.#left -= 1) {
      const text = this.#waiting.shift();
      if (text === undefined) return;
      this.#send(text);
    }
    if (this.#waiting.length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#flush();
    }, 1_000 / PER_SECOND);
  }
}
