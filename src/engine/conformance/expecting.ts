import assert from "node:assert/strict";
import { type AshlarError, isAshlarError } from "../../core/index.ts";

/**
 * The work fails with an Ashlar error of this code, thrown at once or later. `mentions`: what the message must contain.
 * Resolves with the error.
 */
export async function failsWith(
  code: string,
  work: () => unknown,
  ...mentions: readonly (string | RegExp)[]
): Promise<AshlarError> {
  const error = await failureOf(work);
  assert.ok(isAshlarError(error, code), `expected ${code}, met ${describe(error)}`);
  for (const mention of mentions) {
    const found = typeof mention === "string" ? error.message.includes(mention) : mention.test(error.message);
    assert.ok(found, `the message should mention ${mention}: ${error.message}`);
  }
  return error;
}

/** The work fails with this very error or reason. */
export async function failsBy(reason: unknown, work: () => unknown): Promise<void> {
  const error = await failureOf(work);
  assert.equal(error, reason, `expected the reason itself, met ${describe(error)}`);
}

/** What the work throws, at once or later. */
export async function failureOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  assert.fail("expected a failure, but it succeeded");
}

function describe(error: unknown): string {
  if (isAshlarError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** An aborted signal and its reason. */
export function abortedSignal(): { readonly signal: AbortSignal; readonly reason: Error } {
  const reason = new Error("the caller has no more interest");
  return { signal: AbortSignal.abort(reason), reason };
}
