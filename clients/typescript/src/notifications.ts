import { Acks } from "./acks.js";
import { TickroomError } from "./errors.js";
import type { Notification, NotificationMessage, Refusal, ServerMessage } from "./messages.js";
import { Reader, type ReaderOptions } from "./reader.js";
import { ownerOf } from "./tokens.js";

/** Ids that are remembered to tell repeats. */
const REMEMBERED = 10_000;

/**
 * A user's own notifications: unread ones first, oldest first, then each as it happens; each once on this stream.
 *
 * What is not acknowledged comes again on the next stream. Iterate it once, as a MarketStream. Who reads slowly: with
 * `maxQueue` notifications waiting the connection is left until half of them is read; the server stores what comes.
 */
export class NotificationStream implements AsyncIterable<NotificationMessage> {
  readonly #reader: Reader<NotificationMessage>;
  readonly #acks: Acks;
  readonly #userId: string | undefined;
  readonly #known = new Set<string>();

  /** @internal */
  constructor(options: ReaderOptions, userId: string | undefined) {
    this.#userId = userId;
    this.#reader = new Reader(options, {
      path: (token) => this.#path(token),
      greet: () => this.#acks.again(),
      hear: (message) => this.#hear(message),
    });
    this.#acks = new Acks((message) => this.#reader.link.say(message));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<NotificationMessage, void, void> {
    try {
      yield* this.#reader.iterate();
    } finally {
      this.#acks.close();
    }
  }

  /**
   * Marks notifications (or ids of them) as read, over reconnects. Resolves to true when the server has confirmed, to
   * false where the stream ended before, or the server refuses.
   */
  ack(...read: (Notification | string)[]): Promise<boolean> {
    return this.#acks.add(read.map((each) => (typeof each === "string" ? each : each.id)));
  }

  /** Leaves; what waits is dropped and the iteration ends. Resolves when the connection has ended. */
  close(): Promise<void> {
    this.#acks.close();
    return this.#reader.close();
  }

  #path(token: string | undefined): string {
    const userId = this.#userId ?? ownerOf(token ?? "");
    if (userId === undefined) throw new TickroomError(4401, "token_missing", "notifications need a token");
    return `/websocket/user/${encodeURIComponent(userId)}/notifications`;
  }

  #hear(message: ServerMessage): void {
    switch (message.type) {
      case "alert_triggered":
      case "account_update":
        return this.#take(message);
      case "acked":
        return this.#acks.answered(message.id, true);
      case "error":
        return this.#refused(message);
      default:
    }
  }

  #refused({ type, id, code, message, retryable }: Refusal): void {
    if (retryable) return; // it is said again
    this.#acks.answered(id, false);
    this.#reader.put({ type, code, message, symbols: [] });
  }

  #take(notification: Notification): void {
    if (this.#known.has(notification.id)) return;
    this.#known.add(notification.id);
    if (this.#known.size > REMEMBERED) {
      for (const oldest of this.#known) {
        this.#known.delete(oldest);
        break;
      }
    }
    this.#reader.put(notification);
  }
}
