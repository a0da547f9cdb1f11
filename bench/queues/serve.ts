export type Reply<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly missing: boolean; readonly error: string };

/** Answers what the parent asks of this process, one request at a time. */
export function serve<Request, Value>(answer: (request: Request) => Promise<Value>): void {
  process.on("message", async (request: Request) => {
    const reply: Reply<Value> = await answer(request).then(
      (value) => ({ ok: true, value }),
      (error: Error & { code?: string }) => ({
        ok: false,
        missing: error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND",
        error: error.stack ?? String(error),
      }),
    );
    process.send?.(reply);
  });
  // Busy or not, it does not outlive its parent.
  process.on("disconnect", () => process.exit());
}
