import { AsyncQueue, linkSignals } from "../../core/index.ts";
import type { Engine, LogRecord, Offset } from "../../engine/index.ts";
import { keys, type Layout, partitionTopic } from "./layout.ts";
import { isSealed, type LayoutBook, partitionsOf } from "./layouts.ts";
import { readRecords, whenCompacted } from "./reading.ts";

export interface Page {
  readonly partition: number;
  readonly records: readonly LogRecord[];
}

/** Pages that a live reader of several partitions holds at most, besides one that each partition has in hand. */
const pagesAhead = 2;

/** What there is of the partition from the offset on and before the end that it has now. */
export async function* readToEnd(
  engine: Engine,
  partition: number,
  from: Offset,
  signal: AbortSignal | undefined,
): AsyncGenerator<Page> {
  const options = signal ? { signal } : {};
  const { next } = await engine.log.bounds(partitionTopic(partition), options);
  for (let at = from; at < next; ) {
    const page = await readRecords(engine, partition, at, options);
    const records = page.filter(({ offset }) => offset < next);
    const last = records.at(-1);
    if (last === undefined) return;
    yield { partition, records };
    at = last.offset + 1;
  }
}

/**
 * What there is and what comes of some partitions, layout after layout: the next is begun when one is sealed and read to its end, so records of one key come in their order. Ends when there is no more
 * to come for the partition that is wanted.
 * @param wanted one partition; `undefined`: all, those of later layouts too
 * @param start where to begin in a partition that there is already; later ones begin at their beginning
 */
export async function* readLive(
  engine: Engine,
  book: LayoutBook,
  wanted: number | undefined,
  start: (partition: number) => Promise<Offset>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Page> {
  let layouts = await book.read();
  const places = new Map<number, Offset>();
  const some = (layout: Layout) =>
    partitionsOf(layout).filter((partition) => wanted === undefined || partition === wanted);
  for (const partition of layouts.all.flatMap(some)) places.set(partition, await start(partition));
  for (let layout = layouts.all[0]; layout !== undefined; ) {
    const [first] = layout;
    const partitions = some(layout).map((partition) => ({ partition, at: places.get(partition) ?? 0 }));
    if (partitions.length > 0) {
      if (!isSealed(layouts, first))
        for await (const page of readWhileOpen(engine, first, partitions, signal)) {
          yield page;
          const of = partitions.find(({ partition }) => partition === page.partition);
          if (of) of.at = afterPage(page);
        }
      for (const { partition, at } of partitions) yield* readToEnd(engine, partition, at, signal);
      if (wanted !== undefined) return;
    }
    layouts = await book.read();
    layout = layouts.all.find(([each]) => each > first);
  }
}

/** Ends when the layout is sealed; what is left then is not read yet. */
async function* readWhileOpen(
  engine: Engine,
  layout: number,
  places: readonly { readonly partition: number; readonly at: Offset }[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Page> {
  const over = new AbortController();
  using linked = linkSignals(signal, over.signal);
  const pages = new AsyncQueue<Page>({ capacity: pagesAhead, signal });
  const following = places.map(({ partition, at }) => follow(engine, partition, at, pages, linked.signal));
  const sealed = whenSealed(engine, layout, linked.signal).then(() => over.abort());
  const ended = Promise.all([sealed, ...following]).then(
    () => pages.end(),
    (error) => (over.signal.aborted && !signal?.aborted ? pages.end() : pages.fail(error)),
  );
  try {
    yield* pages;
  } finally {
    over.abort();
    await ended;
    await Promise.allSettled(following);
  }
}

/** Until the signal is aborted or nobody takes the pages any more. */
async function follow(
  engine: Engine,
  partition: number,
  from: Offset,
  pages: AsyncQueue<Page>,
  signal: AbortSignal,
): Promise<void> {
  let at = from;
  const give = async (records: readonly LogRecord[]): Promise<boolean> => {
    const page = { partition, records };
    at = afterPage(page);
    return await pages.pushWait(page, { signal });
  };
  for (;;) {
    const records = await readRecords(engine, partition, at, { signal });
    if (records.length > 0) {
      if (!(await give(records))) return;
      continue;
    }
    const over = new AbortController();
    using linked = linkSignals(signal, over.signal);
    const compacted = whenCompacted(engine, partition, () => at, linked.signal).then(
      () => over.abort(),
      () => {},
    );
    try {
      for await (const coming of engine.log.tail(partitionTopic(partition), { from: at, signal: linked.signal })) {
        // A gap: compaction has moved what was there since; it is read again.
        if (coming[0]?.offset !== at) break;
        if (!(await give(coming))) return;
      }
    } catch (error) {
      if (signal.aborted || !over.signal.aborted) throw error;
    } finally {
      over.abort();
      await compacted;
    }
  }
}

async function whenSealed(engine: Engine, first: number, signal: AbortSignal): Promise<void> {
  for await (const changes of engine.kv.watch<readonly Layout[]>({ key: keys.partitions }, { signal })) {
    const all = changes.at(-1)?.value ?? [];
    if (all.some((layout) => layout[0] > first)) return;
  }
}

function afterPage({ records }: Page): Offset {
  return (records.at(-1) as LogRecord).offset + 1;
}
