import { isAshlarError } from "../core/index.ts";
import { fromEvents, type HistoryEvent, type Operation } from "./history.ts";

/** What a client is about to ask. */
export interface Call {
  readonly client: string;
  readonly name: string;
  readonly key?: string | undefined;
  readonly input?: unknown;
}

export interface RecorderOptions {
  /** For the times in the history. Default: none are recorded. */
  readonly now?: () => number;
  /** Called with each event as it happens: to write it to a file, so that a history survives its recorder. */
  readonly onEvent?: (event: HistoryEvent) => void;
  /** Whether an error says that the operation surely did not happen. Default: whether it is a definite Ashlar error. */
  readonly isDefinite?: (error: unknown) => boolean;
}

/** Records a history: each operation's call before it is made, and its answer after it has come. */
export interface Recorder {
  /**
   * Calls `run` and records what became of it. Resolves and rejects as `run` does.
   * @param toOutput turns the result into the JSON to be recorded. Default: the result itself
   */
  record<T>(call: Call, run: () => T | Promise<T>, toOutput?: (result: T) => unknown): Promise<T>;
  /** The history up until now; operations under way are of unknown outcome. */
  history(): Operation[];
}

export function createRecorder(options: RecorderOptions = {}): Recorder {
  const { now, onEvent, isDefinite = isDefiniteError } = options;
  const events: HistoryEvent[] = [];
  let operations = 0;
  const add = (event: HistoryEvent): void => {
    events.push(event);
    onEvent?.(event);
  };
  const time = (): { time?: number } => (now ? { time: now() } : {});
  return {
    async record(call, run, toOutput = (result) => result) {
      const id = operations++;
      const { client, name, key, input } = call;
      add({
        event: "invoke",
        id,
        client,
        name,
        ...(key !== undefined && { key }),
        ...(input !== undefined && { input: snapshot(input) }),
        ...time(),
      });
      try {
        const result = await run();
        const output = snapshot(toOutput(result));
        add({ event: "ok", id, ...(output !== undefined && { output }), ...time() });
        return result;
      } catch (error) {
        add({ event: isDefinite(error) ? "failed" : "unknown", id, ...time() });
        throw error;
      }
    },
    history: () => fromEvents(events),
  };
}

function isDefiniteError(error: unknown): boolean {
  return isAshlarError(error) && error.definite;
}

/** As JSON has it, and safe from later changes. */
function snapshot(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  return JSON.parse(JSON.stringify(value));
}
