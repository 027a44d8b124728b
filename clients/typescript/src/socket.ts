import { retryAfter } from "./backoff.js";
import { whenRefused } from "./refusal.js";

/** What of a WebSocket is used: browsers, Node 22 and `ws` have it. */
export interface WebSocketLike {
  readonly protocol: string;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** Of `ws`: gives up a line at once. */
  terminate?(): void;
  addEventListener(type: "open" | "message" | "close" | "error", listener: (event: any) => void): void;
}

export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

/** How a connection ended. 1006: without a word. `retryAfterMs`: what the server asks for, 0 where it doesn't. */
export interface Closing {
  readonly closeCode: number;
  readonly reason: string;
  readonly retryAfterMs: number;
  readonly opened: boolean;
  readonly livedMs: number;
}

/** Milliseconds. The server breaks every silence after 25 s, so `quiet` means that the line is dead. */
export interface Patience {
  readonly open: number;
  readonly quiet: number;
  readonly close: number;
}

export const PATIENCE: Patience = { open: 15_000, quiet: 60_000, close: 1_000 };

/** Listens to one connection until it ends; `signal` closes it in a clean way. */
export function listen(
  socket: WebSocketLike,
  on: { open(): void; frame(said: unknown): void },
  signal: AbortSignal,
  patience: Patience,
): Promise<Closing> {
  return new Promise((resolve) => {
    const began = Date.now();
    let opened = false;
    let ended = false;
    let heard = began;
    let goodbye: ReturnType<typeof setTimeout> | undefined;
    const watch = setInterval(
      () => {
        const silent = Date.now() - heard;
        if (silent > (opened ? patience.quiet : patience.open)) end(1006, "silence");
      },
      Math.min(1_000, patience.quiet),
    );

    const end = (closeCode: number, reason: string, retryAfterMs = retryAfter(reason)): void => {
      if (ended) return;
      ended = true;
      clearInterval(watch);
      clearTimeout(goodbye);
      signal.removeEventListener("abort", leave);
      if (socket.terminate) socket.terminate();
      else socket.close();
      resolve({ closeCode, reason, retryAfterMs, opened, livedMs: opened ? Date.now() - began : 0 });
    };
    const leave = (): void => {
      socket.close(1000);
      goodbye = setTimeout(() => end(1006, "no goodbye"), patience.close);
    };
    const live = (): boolean => !ended && !signal.aborted;

    socket.addEventListener("open", () => {
      if (!live()) return;
      opened = true;
      heard = Date.now();
      if (socket.protocol === PROTOCOL) on.open();
      else end(4400, "no_such_profile");
    });
    socket.addEventListener("message", (event: { data: unknown }) => {
      heard = Date.now();
      if (!live() || typeof event.data !== "string") return;
      let said: unknown;
      try {
        said = JSON.parse(event.data);
      } catch {
        return end(1006, "unreadable");
      }
      on.frame(said);
    });
    socket.addEventListener("close", (event: { code: number; reason: string }) => end(event.code, event.reason));
    socket.addEventListener("error", () => {
      if (!opened) setTimeout(() => end(1006, "no connection"), 0); // of Node's own no `close` follows then
    });
    whenRefused(socket, end);
    signal.addEventListener("abort", leave);
    if (signal.aborted) leave();
  });
}

/** The extended profile. */
export const PROTOCOL = "tickroom.v1";
