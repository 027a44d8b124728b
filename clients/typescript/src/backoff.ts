/** When to come back after a connection ended: pure decisions. */

/** Full jitter: a random part of `baseMs * 2^n`, never more than `maxMs`. */
export interface Backoff {
  readonly baseMs: number;
  readonly maxMs: number;
  /** A connection that held so long was fine: counting begins anew. */
  readonly resetAfterMs: number;
}

export const BACKOFF: Backoff = { baseMs: 500, maxMs: 30_000, resetAfterMs: 5_000 };

/** The longest wait that a server may ask for. */
const MOST_RETRY_AFTER_MS = 600_000;

/**
 * Milliseconds to wait before attempt number `attempt` (0 = the first one again).
 *
 * @param random 0 to 1
 * @param retryAfterMs what the server asks for; the jitter comes on top, or everybody would come back at once
 */
export function retryDelay(attempt: number, backoff: Backoff, random: number, retryAfterMs = 0): number {
  const most = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(attempt, 30));
  return Math.min(retryAfterMs, MOST_RETRY_AFTER_MS) + random * most;
}

/** `retry_after_ms` out of a close reason such as `draining retry_after_ms=1500`; 0 where there is none. */
export function retryAfter(reason: string): number {
  return Number(/\bretry_after_ms=(\d{1,9})\b/.exec(reason)?.[1] ?? 0);
}

/** Is it of no use to come back unchanged? */
export function isFinal(closeCode: number): boolean {
  return closeCode >= 4400 && closeCode <= 4499;
}
