import { types } from "node:util";

/** Built-in classes whose instances keep their data out of reach, by their `Symbol.toStringTag`. */
const opaqueTags: ReadonlySet<unknown> = new Set([
  ...["Promise", "WeakMap", "WeakSet", "WeakRef", "FinalizationRegistry", "SharedArrayBuffer", "Atomics"],
  ...["Generator", "AsyncGenerator", "Iterator", "Array Iterator", "Map Iterator", "Set Iterator", "String Iterator"],
  ...["RegExp String Iterator", "Iterator Helper", "Module", "Symbol", "DisposableStack", "AsyncDisposableStack"],
  ...["URL", "URLSearchParams", "Blob", "File", "FormData", "Headers", "Request", "Response", "CryptoKey"],
  ...["AbortSignal", "AbortController", "EventTarget", "Event", "MessagePort", "MessageChannel", "BroadcastChannel"],
  ...["ReadableStream", "WritableStream", "TransformStream", "TextEncoder", "TextDecoder"],
  ...["Intl.Collator", "Intl.DateTimeFormat", "Intl.DisplayNames", "Intl.ListFormat", "Intl.Locale"],
  ...["Intl.NumberFormat", "Intl.PluralRules", "Intl.RelativeTimeFormat", "Intl.Segmenter", "Intl.DurationFormat"],
  ...["Temporal.Instant", "Temporal.PlainDate", "Temporal.PlainDateTime", "Temporal.PlainTime", "Temporal.Duration"],
  ...["Temporal.PlainMonthDay", "Temporal.PlainYearMonth", "Temporal.ZonedDateTime"],
]);

/** Whether the object is of a built-in class that hides its data: taken for a plain object, it would silently come out empty. */
export function isOpaque(value: object): boolean {
  if (types.isPromise(value) || types.isWeakMap(value) || types.isWeakSet(value) || types.isExternal(value))
    return true;
  return opaqueTags.has((value as { readonly [Symbol.toStringTag]?: unknown })[Symbol.toStringTag]);
}
