import { invalidArgument, type Runtime, raceAbort, throwIfAborted } from "../../core/index.ts";

export type ByteSource = Uint8Array | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

/**
 * The pieces of a source, one at a time as they are asked for. Leaving early, by an error, an abort or otherwise, tells the source that
 * nobody reads on, and does not wait for one that hangs.
 * @throws InvalidArgumentError at once: no source; later: a piece that is no bytes
 */
export function piecesOf(
  data: ByteSource,
  runtime: Runtime,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  if (data instanceof Uint8Array) return piecesOfReader(once(data), runtime, signal);
  if (isReadableStream(data)) {
    if (data.locked) throw invalidArgument("data", data, "a stream that nobody else reads");
    return piecesOfReader(streamReader(data), runtime, signal);
  }
  if (typeof data === "object" && data !== null && typeof data[Symbol.asyncIterator] === "function") {
    return piecesOfReader(iteratorReader(data), runtime, signal);
  }
  throw invalidArgument("data", data, "a Uint8Array, an async iterable of them, or a ReadableStream of them");
}

/** What the three kinds of sources have in common. */
interface PieceReader {
  next(): Promise<IteratorResult<unknown>>;
  /** Called if the source was not read to its end. */
  leave(reason: unknown): unknown;
}

async function* piecesOfReader(
  reader: PieceReader,
  runtime: Runtime,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let over = false;
  try {
    for (;;) {
      throwIfAborted(signal);
      const next = await raceAbort(reader.next(), signal);
      if (next.done) {
        over = true;
        return;
      }
      if (!(next.value instanceof Uint8Array)) throw invalidArgument("data", next.value, "pieces that are Uint8Arrays");
      yield next.value;
    }
  } catch (error) {
    // A source that failed by itself has ended; the others do not mind hearing it.
    over = true;
    await leave(reader, runtime, error);
    throw error;
  } finally {
    if (!over) await leave(reader, runtime, undefined);
  }
}

/** A source that is in the midst of something gets one turn of the event loop to end; its own trouble with that concerns nobody. */
async function leave(reader: PieceReader, runtime: Runtime, reason: unknown): Promise<void> {
  const left = new Promise((resolve) => resolve(reader.leave(reason))).catch(() => {});
  await Promise.race([left, new Promise<void>((resolve) => void runtime.timers.immediate(resolve))]);
}

function once(bytes: Uint8Array): PieceReader {
  let given = false;
  return {
    async next() {
      if (given) return { done: true, value: undefined };
      given = true;
      return { done: false, value: bytes };
    },
    leave() {},
  };
}

function streamReader(stream: ReadableStream<Uint8Array>): PieceReader {
  const reader = stream.getReader();
  return {
    next: async () => (await reader.read()) as IteratorResult<unknown>,
    leave: (reason) => reader.cancel(reason),
  };
}

function iteratorReader(iterable: AsyncIterable<Uint8Array>): PieceReader {
  const iterator = iterable[Symbol.asyncIterator]();
  return {
    next: async () => await iterator.next(),
    leave: () => iterator.return?.(),
  };
}

function isReadableStream(data: unknown): data is ReadableStream<Uint8Array> {
  return typeof data === "object" && data !== null && typeof (data as { getReader?: unknown }).getReader === "function";
}
