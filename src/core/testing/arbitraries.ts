import fc from "fast-check";

const codePoint = fc
  .oneof(
    fc.integer({ min: 0, max: 0x7f }),
    fc.integer({ min: 0x80, max: 0xffff }),
    fc.integer({ min: 0x1_0000, max: 0x10_ffff }),
    // Where encodings change: the edges of lengths, of surrogates, and the byte order mark.
    fc.constantFrom(0, 1, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xfeff, 0xfffd, 0xffff, 0x1_0000, 0x10_ffff),
  )
  .map((code) => (code >= 0xd800 && code <= 0xdfff ? 0xe000 : code));

/**
 * Well-formed text of every kind of character, up to `maxLength` of them. (fast-check's own unit "binary" takes most of a second to
 * prepare in each process.)
 */
export function unicodeText(maxLength: number): fc.Arbitrary<string> {
  return fc.array(codePoint, { maxLength }).map((codes) => String.fromCodePoint(...codes));
}

const text = fc.oneof(unicodeText(12), unicodeText(80), fc.string({ maxLength: 300 }));
/** Whatever `encodeValue` accepts, without cycles. */
export const cloneable = fc
  .anything({
    maxDepth: 4,
    key: fc.oneof(text, fc.constantFrom("__proto__", "constructor", "toJSON", "hasOwnProperty", "length", "0", "")),
    values: [text, fc.double(), fc.maxSafeInteger(), fc.integer(), fc.boolean(), fc.constantFrom(null, undefined, -0)],
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withNullPrototype: true,
  })
  .filter((value) => value !== undefined);
