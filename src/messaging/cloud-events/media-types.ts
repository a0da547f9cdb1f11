const token = "[!#$%&'*+\\-.^_`|~\\da-z]+";
const parameter = `${token}=(?:${token}|"(?:[^"\\\\\\r\\n]|\\\\[^\\r\\n])*")`;
const format = new RegExp(`^${token}/${token}[ \\t]*(?:;[ \\t]*(?:${parameter}[ \\t]*)?)*$`, "i");

/** What an event's data is, as far as it matters for reading it. */
export type Form = "json" | "text" | "bytes";

export function isMediaType(text: string): boolean {
  return format.test(text);
}

/** The media type without parameters, in small letters. */
export function essenceOf(mediaType: string): string {
  return (mediaType.split(";", 1)[0] ?? "").trim().toLowerCase();
}

/** A subtype `json`, or one that ends in `+json`, is JSON; `text` and XML are text, if they are in UTF-8; all else is bytes. */
export function formOf(mediaType: string): Form {
  const essence = essenceOf(mediaType);
  if (isJson(essence)) return "json";
  const charset = /;[ \t]*charset="?([^";\s]+)/i.exec(mediaType)?.[1]?.toLowerCase() ?? "utf-8";
  const isText = essence.startsWith("text/") || /[/+]xml$/.test(essence);
  return isText && (charset === "utf-8" || charset === "us-ascii") ? "text" : "bytes";
}

/** CloudEvents, JSON format 3.1: the subtype is `json`, or ends in `+json`. */
export function isJson(mediaType: string): boolean {
  return /\/(?:.*\+)?json$/.test(essenceOf(mediaType));
}
