import type { Price } from "./messages.js";

interface Entry<M> {
  message: M;
}

/**
 * What has arrived and was not read yet: bounded, though nobody can stop a WebSocket from receiving.
 *
 * Up to `limit` messages wait as they came. From there on a price takes the place of the one of its symbol that waits,
 * and counts it in `conflated`, unless something else of that symbol came between them. What is not a price is never
 * merged; with `limit` of these waiting the queue is `full`, and whoever fills it must stop.
 */
export class Queue<M extends { readonly type: string; readonly symbol?: string }> {
  /** Prices that were merged away here. */
  conflated = 0;
  readonly #limit: number;
  #entries: (Entry<M> | undefined)[] = [];
  #head = 0;
  #facts = 0;
  readonly #newest = new Map<string, Entry<M>>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.length - this.#head;
  }

  get full(): boolean {
    return this.#facts >= this.#limit;
  }

  put(message: M): void {
    if (isPrice(message)) {
      const waiting = this.#newest.get(message.symbol);
      if (waiting && this.size >= this.#limit) {
        this.#merge(waiting as Entry<M & Price>, message);
        return;
      }
    } else {
      this.#facts += 1;
    }
    const entry = { message };
    this.#entries.push(entry);
    if (message.symbol === undefined) return;
    if (isPrice(message)) this.#newest.set(message.symbol, entry);
    else this.#newest.delete(message.symbol);
  }

  take(): M | undefined {
    const entry = this.#entries[this.#head];
    if (!entry) return undefined;
    this.#entries[this.#head++] = undefined;
    if (this.#head === this.#entries.length || this.#head === 4096) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
    const { message } = entry;
    if (!isPrice(message)) this.#facts -= 1;
    else if (this.#newest.get(message.symbol) === entry) this.#newest.delete(message.symbol);
    return message;
  }

  #merge(waiting: Entry<M & Price>, newer: M & Price): void {
    waiting.message = { ...newer, conflated: newer.conflated + waiting.message.conflated + 1 };
    this.conflated += 1;
  }
}

function isPrice<M extends { readonly type: string }>(message: M): message is M & Price {
  return message.type === "stock_price_update";
}
