const marked = new WeakSet<object>();

export function markReplayed(error: unknown): void {
  if (typeof error === "object" && error !== null) marked.add(error);
}

/** Whether this error was thrown by an earlier run of a key's function and has now been thrown again. */
export function isReplayed(error: unknown): boolean {
  return typeof error === "object" && error !== null && marked.has(error);
}
