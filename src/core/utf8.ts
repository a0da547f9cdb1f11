/** Methods of `Buffer` that work on any `Uint8Array` and that its public types leave out. */
interface NativeText {
  utf8Write(this: Uint8Array, text: string, offset: number, length: number): number;
  utf8Slice(this: Uint8Array, start: number, end: number): string;
}

const { utf8Write, utf8Slice } = Buffer.prototype as unknown as NativeText;
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Up to this length, a loop over the bytes beats a call into native code. */
const SHORT = 24;
/** V8 copies a string of up to this length when it grows, and chains longer ones. */
const LONGEST_FLAT = 12;

/**
 * Writes the text, which must be well-formed, at `at`; returns its length in bytes. The target must have room for
 * three bytes per UTF-16 unit.
 */
export function writeUtf8(target: Uint8Array, text: string, at: number): number {
  return utf8Write.call(target, text, at, target.length - at);
}

/** The text in `bytes[start, end)`, which must be there; `undefined` if it is not UTF-8. */
export function readUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= SHORT) {
    const text = readAscii(bytes, start, end);
    if (text !== undefined) return text;
  }
  const text = utf8Slice.call(bytes, start, end);
  // The replacement character stands for itself, or for bytes that are not UTF-8.
  if (!text.includes("\ufffd")) return text;
  try {
    return strictDecoder.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}

/** The text if it is ASCII. Put together in two pieces, each of which V8 keeps flat. */
function readAscii(bytes: Uint8Array, start: number, end: number): string | undefined {
  const middle = Math.min(end, start + LONGEST_FLAT);
  let first = "";
  for (let i = start; i < middle; i++) {
    const byte = bytes[i] as number;
    if (byte > 0x7f) return undefined;
    first += String.fromCharCode(byte);
  }
  let second = "";
  for (let i = middle; i < end; i++) {
    const byte = bytes[i] as number;
    if (byte > 0x7f) return undefined;
    second += String.fromCharCode(byte);
  }
  return first + second;
}
