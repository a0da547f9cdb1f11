import { createHmac, timingSafeEqual } from "node:crypto";
import {
  AshlarError,
  type Duration,
  encodeUtf8,
  invalidArgument,
  type Runtime,
  refuseUnknown,
  systemRuntime,
  toMilliseconds,
} from "../../core/index.ts";

/** A secret as Standard Webhooks writes it, "whsec_" and base64, or its bytes: 24 to 64 of them. */
export type WebhookSecret = string | Uint8Array;

export interface SignedHeaders {
  readonly "webhook-id": string;
  readonly "webhook-timestamp": string;
  readonly "webhook-signature": string;
}

export interface VerifyOptions {
  /** The secret that the sender signs with; several while it is being replaced: one must fit. */
  readonly secret: WebhookSecret | readonly WebhookSecret[];
  /** How far the time of sending may be from now, in the past or the future. Default "5m". */
  readonly tolerance?: Duration;
  readonly runtime?: Runtime;
}

/** What a request brought: its headers, and its body exactly as it came, before any parsing. */
export interface WebhookRequest {
  readonly headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string | Uint8Array;
}

export interface VerifiedWebhook {
  /** The same whenever this message is sent: what an inbox asks for. */
  readonly id: string;
  /** When it was sent: milliseconds since the epoch, whole seconds. */
  readonly timestamp: number;
}

/** Why a webhook was refused: `details.reason` of the error. */
export type WebhookRefusal = "missing" | "malformed" | "too-old" | "too-new" | "signature";

const maxSignatures = 32;
/** An id is part of a header: printable, without spaces; and without dots, which part the signed text. */
const sendable = /^[\x21-\x2d\x2f-\x7e]{1,500}$/;

/**
 * The headers of a webhook signed by Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`.
 * @param message `timestamp`: milliseconds since the epoch
 * @param secret several: a signature with each, while one is being replaced
 * @throws InvalidArgumentError
 */
export function signWebhook(
  message: { readonly id: string; readonly timestamp: number; readonly body: string | Uint8Array },
  secret: WebhookSecret | readonly WebhookSecret[],
): SignedHeaders {
  const { id, timestamp, body } = message;
  if (!isSendableId(id)) throw invalidArgument("id", id, "1 to 500 printable ASCII characters without spaces and dots");
  if (!(timestamp >= 0 && timestamp <= 8.64e15))
    throw invalidArgument("timestamp", timestamp, "milliseconds since the epoch");
  const seconds = String(Math.floor(timestamp / 1000));
  const signatures = toSecrets(secret).map(
    (each) => `v1,${signatureOf(each, id, seconds, toBytes(body)).toString("base64")}`,
  );
  return { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": signatures.join(" ") };
}

/** Whether a webhook can be sent under this id: 1 to 500 printable ASCII characters without spaces and dots. */
export function isSendableId(id: unknown): id is string {
  return typeof id === "string" && sendable.test(id);
}

/**
 * Makes sure that a webhook comes from who knows the secret, unchanged, and is not an old one sent anew, by Standard Webhooks 1.0 (symmetric signatures, `v1`). Comparisons take the same time whatever they find.
 * Within the tolerance the same message may come again: an inbox takes care of that.
 * @throws AshlarError code "UNVERIFIED", `details.reason` says why: answer with 401, or 400 if "missing" or "malformed"
 * @throws InvalidArgumentError an option is wrong, or the body is no longer as it came
 */
export function verifyWebhook(request: WebhookRequest, options: VerifyOptions): VerifiedWebhook {
  refuseUnknown(options, ["secret", "tolerance", "runtime"]);
  const { runtime = systemRuntime } = options;
  const tolerance = toMilliseconds(options.tolerance ?? "5m", "tolerance");
  const secrets = toSecrets(options.secret);
  const body = toBytes(request.body);
  const id = header(request.headers, "webhook-id");
  const seconds = header(request.headers, "webhook-timestamp");
  const given = header(request.headers, "webhook-signature");
  if (!/^\d{1,11}$/.test(seconds)) throw unverified("malformed", "webhook-timestamp is no number of seconds");
  const timestamp = Number(seconds) * 1000;
  const now = runtime.clock.now();
  // A whole second of rounding is the sender's right.
  if (timestamp + 1000 + tolerance < now) throw unverified("too-old", `it was sent ${age(now - timestamp)} ago`);
  if (timestamp > now + tolerance) throw unverified("too-new", `it was sent ${age(timestamp - now)} in the future`);
  const signatures = given.split(" ").filter((each) => each.startsWith("v1,"));
  if (signatures.length > maxSignatures) throw unverified("malformed", `more than ${maxSignatures} signatures`);
  let fits = false;
  for (const secret of secrets) {
    const expected = signatureOf(secret, id, seconds, body);
    for (const signature of signatures) if (equal(expected, signature.slice(3))) fits = true;
  }
  if (!fits) throw unverified("signature", "no signature of kind v1 was made with this secret over this body");
  return { id, timestamp };
}

function signatureOf(secret: Uint8Array, id: string, seconds: string, body: Uint8Array): Buffer {
  return createHmac("sha256", secret).update(`${id}.${seconds}.`).update(body).digest();
}

function equal(expected: Buffer, given: string): boolean {
  const bytes = Buffer.from(given, "base64");
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
}

function toSecrets(given: WebhookSecret | readonly WebhookSecret[]): Uint8Array[] {
  const list = Array.isArray(given) ? given : [given];
  if (list.length === 0 || list.length > 10) throw invalidArgument("secret", given, "one secret, or a list of 1 to 10");
  return list.map(toSecret);
}

function toSecret(given: unknown): Uint8Array {
  const allowed = '"whsec_" and base64, or bytes: 24 to 64 of them';
  const bytes = typeof given === "string" ? fromText(given) : given;
  if (!(bytes instanceof Uint8Array) || bytes.length < 24 || bytes.length > 64)
    throw invalidArgument("secret", given, allowed);
  return bytes;
}

function fromText(text: string): Uint8Array | undefined {
  const base64 = text.startsWith("whsec_") ? text.slice(6) : text;
  const bytes = Buffer.from(base64, "base64");
  // Padding may be left out.
  return bytes.toString("base64").replace(/=+$/, "") === base64.replace(/=+$/, "") ? bytes : undefined;
}

function toBytes(body: unknown): Uint8Array {
  if (typeof body === "string") return encodeUtf8(body);
  if (body instanceof Uint8Array) return body;
  throw invalidArgument("body", body, "text or bytes as they came: parsed and written again they may differ");
}

function header(headers: WebhookRequest["headers"], name: string): string {
  const value =
    headers instanceof Headers
      ? headers.get(name)
      : (headers[name] ?? Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1]);
  if (value === null || value === undefined || value === "") throw unverified("missing", `no header ${name}`);
  if (typeof value !== "string") throw unverified("malformed", `several headers ${name}`);
  return value;
}

function age(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}

function unverified(reason: WebhookRefusal, message: string): AshlarError {
  return new AshlarError(`the webhook cannot be trusted: ${message}`, {
    code: "UNVERIFIED",
    definite: true,
    retryable: false,
    details: { reason },
  });
}
