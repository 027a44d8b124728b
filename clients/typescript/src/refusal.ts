/**
 * Why a handshake was refused. Pages never learn that, so the server accepts them and closes with a code; a program is
 * answered by HTTP, which `ws` shows (the WebSocket of Node itself does not).
 */

interface Response {
  readonly statusCode?: number;
  readonly headers: Record<string, string | string[] | undefined>;
  on(event: "data", listener: (chunk: { toString(): string }) => void): void;
  on(event: "end" | "error" | "close", listener: () => void): void;
}

interface Emitter {
  on(event: "unexpected-response", listener: (request: unknown, response: Response) => void): void;
}

/** HTTP statuses and the close codes that mean the same. */
const CLOSE_CODES: Readonly<Record<number, number>> = {
  400: 4400,
  401: 4401,
  403: 4403,
  404: 4404,
  421: 4403,
  429: 4429,
  502: 4500,
  503: 1013,
  504: 1013,
};
const MOST_CHARACTERS = 16_384;

/** Calls `refused` with a close code, the server's word and the milliseconds that it asks to wait. */
export function whenRefused(
  socket: object,
  refused: (closeCode: number, code: string, retryAfterMs: number) => void,
): void {
  if (!("on" in socket) || typeof socket.on !== "function") return;
  (socket as Emitter).on("unexpected-response", (_request, response) => {
    const status = response.statusCode ?? 0;
    const waitMs = Number(response.headers["retry-after"] ?? 0) * 1_000 || 0;
    let body = "";
    const done = (): void => {
      const code = codeOf(body) ?? `http_${status}`;
      refused(code === "too_many_connections" ? 4409 : (CLOSE_CODES[status] ?? 1006), code, waitMs);
    };
    response.on("data", (chunk) => {
      if (body.length < MOST_CHARACTERS) body += chunk.toString();
    });
    response.on("end", done);
    response.on("error", done);
    response.on("close", done);
  });
}

/** `code` of a problem+json body. */
function codeOf(body: string): string | undefined {
  try {
    const { code } = JSON.parse(body) as { code?: unknown };
    return typeof code === "string" ? code : undefined;
  } catch {
    return undefined;
  }
}
