import type { ClientMessage, MarketMessage, MarketRecord, Refusal, SeenPosition, ServerMessage } from "./messages.js";
import { Positions } from "./positions.js";
import { Reader, type ReaderOptions } from "./reader.js";
import { chunks, Subscription } from "./subscription.js";

/** How many positions go into one frame: the server takes 64 KiB. */
const MOST_RESUMED = 400;

/**
 * Prices, predictions, bars, splits and corrections of the symbols asked for, or of all, on one connection.
 *
 * Iterate it once. It connects when the iteration begins and leaves when that ends: by `break`, by `close`, by an
 * AbortSignal (the iteration throws its reason), or by a TickroomError, behind everything that had arrived.
 *
 * Each record comes once and in order of its symbol, or a `gap` says that something is missing, also where the stream
 * broke and was resumed, at whichever replica.
 *
 * Who reads slowly: up to `maxQueue` messages wait as they came. From there on only the newest price of each symbol
 * waits and counts the others in its `conflated`. With `maxQueue` other messages waiting, the connection is left, and
 * resumed when half of what waits is read.
 */
export class MarketStream implements AsyncIterable<MarketMessage> {
  readonly #reader: Reader<MarketMessage>;
  readonly #subscription: Subscription;
  readonly #positions = new Positions();
  readonly #resumes = new Map<string, [string, SeenPosition][]>();
  #maxPerSecond: number;
  /** The server holds everything back until it is told where we stand, which must wait until it has our list. */
  #holding = true;
  /** As the server has it; undefined: none, or not known yet. */
  #listed: Set<string> | undefined;

  /** @internal */
  constructor(options: ReaderOptions, symbols: readonly string[], maxPerSecond: number) {
    this.#subscription = new Subscription(symbols);
    this.#maxPerSecond = maxPerSecond;
    this.#reader = new Reader(options, {
      path: () => "/websocket/stocks/all?resume=1",
      greet: () => this.#greet(),
      hear: (message) => this.#hear(message),
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<MarketMessage> {
    return this.#reader.iterate();
  }

  /** Prices that were merged away here because they were not read in time. */
  get conflated(): number {
    return this.#reader.conflated;
  }

  /** More symbols, each beginning with what is known of it. From everything, it is only these from here. */
  subscribe(...symbols: string[]): void {
    this.#say(this.#subscription.add(symbols));
  }

  /** Nothing more of these. Throws where the stream has every symbol. */
  unsubscribe(...symbols: string[]): void {
    this.#say(this.#subscription.remove(symbols));
  }

  /** At most so many prices of each symbol a second, merged by the server; 0 = as they come. */
  setRate(maxPerSecond: number): void {
    this.#maxPerSecond = maxPerSecond;
    this.#say([{ type: "set_rate", max_per_second: maxPerSecond }]);
  }

  /** Leaves; what waits is dropped and the iteration ends. Resolves when the connection has ended. */
  close(): Promise<void> {
    return this.#reader.close();
  }

  #say(messages: readonly ClientMessage[]): void {
    for (const message of messages) this.#reader.link.say(message);
  }

  #greet(): void {
    if (this.#maxPerSecond > 0) this.setRate(this.#maxPerSecond);
    this.#say(this.#subscription.greet());
    this.#positions.reconnected();
    this.#holding = true;
    this.#listed = undefined;
    this.#resumeIfSettled();
  }

  #resumeIfSettled(): void {
    if (!this.#holding || !this.#subscription.settled) return;
    this.#holding = false;
    this.#keepListed();
    this.#resumes.clear();
    const parts = chunks([...this.#positions.reconnected()], MOST_RESUMED);
    if (parts.length === 0) parts.push([]);
    for (const part of parts) {
      const id = `resume-${this.#resumes.size + 1}`;
      this.#resumes.set(id, part);
      this.#say([{ type: "resume", id, positions: Object.fromEntries(part) }]);
    }
  }

  #keepListed(): void {
    if (this.#listed) this.#positions.keep(this.#listed);
  }

  #hear(message: ServerMessage): void {
    switch (message.type) {
      case "stock_price_update":
      case "prediction_update":
      case "bar":
      case "split":
      case "correction":
        return this.#take(message);
      case "resumed":
        return this.#resumed(message.symbol, message.recovered);
      case "subscribed":
        return this.#subscribed(message.id, message.symbols);
      case "error":
        return this.#refused(message);
      default:
    }
  }

  #take(record: MarketRecord): void {
    if (this.#subscription.mutes(record.symbol)) return;
    const { repeat, gap } = this.#positions.note(record);
    if (gap) this.#reader.put(gap);
    if (!repeat) this.#reader.put(record);
  }

  #resumed(symbol: string, recovered: boolean): void {
    const gap = this.#positions.resumed(symbol, recovered);
    if (gap) this.#reader.put(gap);
  }

  #subscribed(id: string | undefined, symbols: readonly string[]): void {
    this.#subscription.confirmed(id);
    this.#listed = new Set(symbols);
    if (!this.#holding) this.#keepListed();
    this.#resumeIfSettled();
  }

  #refused({ type, id, code, message, retryable }: Refusal): void {
    if (retryable) return this.#reader.link.retry(); // whatever it was: it is said again on the next connection
    const resume = this.#resumes.get(id ?? "");
    if (resume) return this.#resumeRefused(resume);
    const { say, givenUp } = this.#subscription.refused(id) ?? { say: [], givenUp: undefined };
    this.#say(say);
    if (givenUp === undefined || givenUp.length > 0) this.#reader.put({ type, code, message, symbols: givenUp ?? [] });
    this.#resumeIfSettled();
  }

  /** What can't be asked for can't be proven whole. */
  #resumeRefused(resume: readonly [string, SeenPosition][]): void {
    for (const [symbol] of resume) this.#resumed(symbol, false);
    this.#say([{ type: "resume", id: "resume", positions: {} }]); // or everything would be held back
  }
}
