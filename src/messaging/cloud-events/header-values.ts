import { decodeUtf8, encodeUtf8, InvalidArgumentError } from "../../core/index.ts";

/** Percent-encoding of CloudEvents' HTTP binding 1.0.2, 3.1.3.2: space, `"`, `%` and what is no printable ASCII. */
export function encodeHeaderValue(text: string): string {
  return text.replace(/[^\x21\x23\x24\x26-\x7e]+/gu, (run) =>
    Array.from(encodeUtf8(run), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/**
 * The reverse: quotes are taken off first, then one round of percent-decoding.
 * @throws InvalidArgumentError percent-encoded bytes that are not UTF-8
 */
export function decodeHeaderValue(value: string, name: string): string {
  return withoutQuotes(value).replace(/(?:%[\da-f]{2})+/gi, (run) => {
    try {
      return decodeUtf8(new Uint8Array(Buffer.from(run.replaceAll("%", ""), "hex")));
    } catch (cause) {
      throw new InvalidArgumentError(`${name}: percent-encoded bytes that are not UTF-8: ${run.slice(0, 60)}`, {
        cause,
        details: { name },
      });
    }
  });
}

/** RFC 7230, 3.2.6, in one pass. A quote that is never closed is a character like any other. */
function withoutQuotes(value: string): string {
  let plain = "";
  for (let at = 0; ; ) {
    const quote = value.indexOf('"', at);
    const closing = quote === -1 ? -1 : closingOf(value, quote + 1);
    if (closing === -1) return plain + value.slice(at);
    plain += value.slice(at, quote) + value.slice(quote + 1, closing).replace(/\\(.)/g, "$1");
    at = closing + 1;
  }
}

function closingOf(value: string, from: number): number {
  for (let i = from; i < value.length; i++) {
    const character = value.charAt(i);
    if (character === '"') return i;
    if (character === "\\") i++;
  }
  return -1;
}
