/** Why a stream ended for good. Thrown out of the iteration, behind everything that had arrived. */
export class TickroomError extends Error {
  override readonly name = "TickroomError";

  /**
   * @param closeCode that of the WebSocket: 44xx is what coming back unchanged would not mend
   * @param code the server's word for it: `token_expired`, `too_many_connections` ...
   */
  constructor(
    readonly closeCode: number,
    readonly code: string,
    message = `the server closes with ${closeCode} ${code}`.trimEnd(),
  ) {
    super(message);
  }
}
