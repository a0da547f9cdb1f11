import type { Recorder } from "../check/index.ts";
import type { Timeline } from "./timeline.ts";

export interface RecordingOptions {
  readonly recorder: Recorder;
  readonly timeline: Timeline;
  readonly machine: string;
  /** Told what the machine has begun to do. */
  readonly onCall?: (text: string) => void;
}

/** The recorder of a run as one machine has it: calls and returns show in the timeline. */
export function createRecording({ recorder, timeline, machine, onCall }: RecordingOptions): Recorder {
  return {
    history: () => recorder.history(),
    record: async (call, run, toOutput) => {
      const text = [call.name, call.key, JSON.stringify(call.input)].filter((part) => part !== undefined).join(" ");
      onCall?.(text);
      timeline.add(machine, "call", text);
      try {
        const result = await recorder.record(call, run, toOutput);
        if (timeline.on) timeline.add(machine, "return", `${text} → ${JSON.stringify(result)}`);
        return result;
      } catch (error) {
        timeline.add(machine, "return", `${text} → ${nameOf(error)}`);
        throw error;
      }
    },
  };
}

/** What an error is called: its code, or that of its cause, or its name. */
export function nameOf(error: unknown): string {
  const { code, cause, name } = (error ?? {}) as { code?: unknown; cause?: unknown; name?: unknown };
  if (typeof code === "string") return code;
  return cause === undefined ? String(name ?? error) : nameOf(cause);
}
