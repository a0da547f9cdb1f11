import type { Engine } from "../engine/index.ts";

/** The names of the blocks of a kind that have keys in the store: a look-up for each name, however many keys it has. */
export async function* namesOf(engine: Engine, block: string, signal: AbortSignal): AsyncGenerator<string> {
  let start: readonly string[] = [block, ""];
  for (;;) {
    // A text that ends in U+0000 sorts right behind everything below the same text without it.
    const [next] = await Array.fromAsync(engine.kv.list({ prefix: [block], start }, { limit: 1, signal }));
    if (next === undefined) return;
    const name = String(next.key[1]);
    yield name;
    start = [block, `${name}\u0000`];
  }
}

/** A table of texts, its columns aligned. */
export function columns(rows: readonly (readonly unknown[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, String(cell).length);
  return rows.map((row) =>
    row
      .map((cell, i) => String(cell).padEnd(widths[i] as number))
      .join("  ")
      .trimEnd(),
  );
}
