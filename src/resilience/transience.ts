import { isAshlarError } from "../core/index.ts";

/**
 * What an error says about asking again. `never`: it would not help (a mistake of the program, a refusal for good, an abort). `safe`: what was asked for surely did not
 * happen, and may succeed later. `doubtful`: it may have happened, so only an idempotent call may be repeated.
 */
export type Transience = "never" | "safe" | "doubtful";

/** The connection was not made, or the server refused before it began. Codes of Node (`errno`, `dns`) and undici. */
const safeCodes: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "EAI_AGAIN",
  "ENOTFOUND",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "EADDRNOTAVAIL",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** The request may have been sent. */
const doubtfulCodes: ReadonlySet<unknown> = new Set([
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ESOCKETTIMEDOUT",
  "UND_ERR_SOCKET",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_RESPONSE_STATUS_CODE",
  "ERR_STREAM_PREMATURE_CLOSE",
]);

const causesFollowed = 5;

/**
 * Judges an error: an Ashlar error by its `retryable` and `definite`; a network error of Node or undici by its code, also as the `cause` of another, such as of `fetch`'s
 * "TypeError: fetch failed"; an error with an HTTP `status`, `statusCode` or `response.status` by that. `AbortError`, `TypeError`, `RangeError`, `SyntaxError`,
 * `ReferenceError`, `AssertionError` and what is not an object are never transient. Any other error says nothing, and is `doubtful`.
 */
export function transienceOf(error: unknown): Transience {
  if (typeof error !== "object" || error === null) return "never";
  if (isAshlarError(error)) {
    if (error.definite) return error.retryable ? "safe" : "never";
    // Of unknown outcome: repeating is as good as the operation is idempotent.
    return "doubtful";
  }
  let each: unknown = error;
  for (let i = 0; i < causesFollowed && typeof each === "object" && each !== null; i++) {
    const found = networkTransience(each as NetworkError);
    if (found !== undefined) return found;
    if (isAshlarError(each)) return transienceOf(each);
    each = (each as Error).cause;
  }
  const status = statusOf(error);
  if (status !== undefined) return statusTransience(status);
  return programming.has((error as Error).name) ? "never" : "doubtful";
}

interface NetworkError {
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly errors?: unknown;
}

function networkTransience({ code, syscall, errors }: NetworkError): Transience | undefined {
  // Happy eyeballs: every address was tried, and each has an error of its own.
  if (code === undefined && Array.isArray(errors) && errors.length > 0) {
    const each = errors.map((error) =>
      typeof error === "object" && error !== null ? networkTransience(error) : undefined,
    );
    if (each.every((found) => found === "safe")) return "safe";
    if (each.every((found) => found !== undefined)) return "doubtful";
    return undefined;
  }
  if (safeCodes.has(code)) return "safe";
  // The kernel's own word for both a connection that is not made and one that dies.
  if (code === "ETIMEDOUT") return syscall === "connect" ? "safe" : "doubtful";
  return doubtfulCodes.has(code) ? "doubtful" : undefined;
}

const programming: ReadonlySet<unknown> = new Set([
  "AbortError",
  "TypeError",
  "RangeError",
  "SyntaxError",
  "ReferenceError",
  "URIError",
  "AssertionError",
]);

function statusTransience(status: number): Transience {
  if (status === 429 || status === 425) return "safe";
  if (status === 408 || (status >= 500 && status !== 501 && status !== 505)) return "doubtful";
  return "never";
}

/** The HTTP status that a response, or an error that an HTTP client made of one, carries. */
function statusOf(outcome: object): number | undefined {
  const { status, statusCode, response } = outcome as {
    readonly status?: unknown;
    readonly statusCode?: unknown;
    readonly response?: { readonly status?: unknown } | null;
  };
  const found = [status, statusCode, response?.status].find((each) => typeof each === "number");
  return typeof found === "number" && found >= 400 && found <= 599 ? found : undefined;
}

/**
 * Whether a result is a `Response`, or looks like one, with a status that is a failure of the server and may pass: 408, 425, 429, 5xx but 501 and 505. For the option
 * `isFailure` of policies around `fetch`, which resolves with such responses.
 */
export function isFailedResponse(result: unknown): boolean {
  if (typeof result !== "object" || result === null) return false;
  const status = statusOf(result);
  return status !== undefined && statusTransience(status) !== "never";
}

/** What a result that its user calls a failure says about asking again: by its status if it has one, else it is safe. */
export function resultTransience(result: unknown): Transience {
  const status = typeof result === "object" && result !== null ? statusOf(result) : undefined;
  return status === undefined ? "safe" : statusTransience(status);
}

/**
 * Whether an error tells of trouble of what was called, rather than of the call: it counts for breakers and limits. An error that is the operation's own answer (a refused
 * argument, a conflict, HTTP 404) shows that the dependency works.
 */
export function tellsOfTrouble(error: unknown): boolean {
  return transienceOf(error) !== "never" && !isAshlarError(error, "CONFLICT") && !isAshlarError(error, "IN_PROGRESS");
}
