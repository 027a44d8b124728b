import { Link, type LinkOptions, type Room } from "./link.js";
import { Queue } from "./queue.js";

export interface ReaderOptions extends LinkOptions {
  readonly maxQueue: number;
  /** Ends the iteration. */
  readonly closing: AbortSignal;
  /** End it too, by throwing their reason. */
  readonly signals: readonly AbortSignal[];
}

/** Connects while it is iterated, and keeps what was not read yet. */
export class Reader<M extends { readonly type: string; readonly symbol?: string }> {
  readonly link: Link;
  readonly #queue: Queue<M>;
  readonly #maxQueue: number;
  readonly #closing: AbortSignal;
  readonly #signals: readonly AbortSignal[];
  #running: Promise<void> | undefined;
  #over: { readonly error?: unknown } | undefined;
  #closed = false;
  #wake = (): void => undefined;

  constructor(options: ReaderOptions, room: Room) {
    this.#queue = new Queue(options.maxQueue);
    this.#maxQueue = options.maxQueue;
    this.#closing = options.closing;
    this.#signals = options.signals;
    this.link = new Link(options, room);
  }

  get conflated(): number {
    return this.#queue.conflated;
  }

  /** A message for whoever iterates. With too many that can't be merged, the connection is left until half is read. */
  put(message: M): void {
    this.#queue.put(message);
    if (this.#queue.full) this.link.hold();
    this.#wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.link.close();
    this.#wake();
    await this.#running;
  }

  async *iterate(): AsyncGenerator<M, void, void> {
    if (this.#running) throw new Error("a stream is iterated once: ask for another one");
    const abort = (): void => void this.close();
    const signals = [this.#closing, ...this.#signals];
    for (const signal of signals) signal.addEventListener("abort", abort);
    if (this.#closing.aborted) abort();
    try {
      this.#throwIfAborted();
      this.#running = this.#run();
      while (!this.#closed) {
        const message = this.#queue.take();
        if (message) {
          if (this.#queue.size <= this.#maxQueue / 2) this.link.release();
          yield message;
        } else if (this.#over) {
          if ("error" in this.#over) throw this.#over.error;
          return;
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve));
        }
      }
      this.#throwIfAborted();
    } finally {
      for (const signal of signals) signal.removeEventListener("abort", abort);
      await this.close();
    }
  }

  async #run(): Promise<void> {
    try {
      await this.link.run();
      this.#over = {};
    } catch (error) {
      this.#over = { error };
    }
    this.#wake();
  }

  #throwIfAborted(): void {
    for (const signal of this.#signals) signal.throwIfAborted();
  }
}
