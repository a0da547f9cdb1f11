import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromEvents, type HistoryEvent, type Operation } from "../history.ts";
import { type DeliveryOptions, delivery } from "./delivery.ts";

/** A history from lines such as "p send a", "p send a !" (refused), "p send a ?" (unknown), "c receive a b"; one after the other. */
function historyOf(...lines: string[]): Operation[] {
  const events: HistoryEvent[] = [];
  for (const [id, line] of lines.entries()) {
    const [client = "", name = "", ...words] = line.split(" ");
    const mark = { "!": "failed", "?": "unknown" }[words.at(-1) ?? ""] as "failed" | "unknown" | undefined;
    const messages = words.filter((word) => word !== "!" && word !== "?");
    const [message = "", key] = (messages[0] ?? "").split("@");
    const sent = name === "send" ? { input: message, ...(key !== undefined && { key }) } : {};
    events.push({ event: "invoke", id, client, name, ...sent });
    events.push({ event: mark ?? "ok", id, ...(name === "receive" && { output: messages }) });
  }
  return fromEvents(events);
}

const verdict = (options: DeliveryOptions, ...lines: string[]) => delivery(options).check(historyOf(...lines));

test("each promise allows what it allows and nothing else", () => {
  const fine = ["p send a", "p send b", "c receive a", "d receive b", "c receive"];
  const twice = ["p send a", "c receive a", "d receive a"];
  const lost = ["p send a", "p send b", "c receive b", "c receive"];
  const table = {
    "exactly-once": { fine: "ok", twice: "violated", lost: "violated" },
    "at-least-once": { fine: "ok", twice: "ok", lost: "violated" },
    "at-most-once": { fine: "ok", twice: "violated", lost: "ok" },
  } as const;
  for (const [promise, expected] of Object.entries(table)) {
    const options = { promise: promise as keyof typeof table };
    assert.equal(verdict(options, ...fine).verdict, expected.fine);
    assert.equal(verdict(options, ...twice).verdict, expected.twice);
    assert.equal(verdict(options, ...lost).verdict, expected.lost);
  }
  assert.match(verdict({ promise: "at-least-once" }, ...lost).summary, /"a" was sent and never received/);
  assert.match(verdict({ promise: "exactly-once" }, ...twice).summary, /"a" was received 2 times/);
});

test("what comes must have been sent, and may be of unknown outcome", () => {
  const promise = { promise: "at-least-once" } as const;
  assert.match(verdict(promise, "c receive x").summary, /"x" was received, which nobody sent/);
  assert.match(verdict(promise, "p send x !", "c receive x").summary, /which was refused/);
  assert.match(verdict(promise, "c receive x", "p send x").summary, /which was sent only later/);
  assert.equal(verdict(promise, "p send x ?", "c receive x").verdict, "ok");
  assert.equal(verdict(promise, "p send x ?", "c receive").verdict, "ok");
});

test("order is kept per key, within an array and between receives, and not between what overlaps", () => {
  const all = { promise: "at-least-once", order: "all" } as const;
  const key = { promise: "at-least-once", order: "key" } as const;
  const none = { promise: "at-least-once" } as const;
  const swapped = ["p send a@1", "p send b@1", "c receive b", "c receive a"];
  assert.equal(verdict(all, ...swapped).verdict, "violated");
  assert.equal(verdict(key, ...swapped).verdict, "violated");
  assert.equal(verdict(none, ...swapped).verdict, "ok");
  assert.match(verdict(key, ...swapped).summary, /"a" was sent before "b" and received after it/);
  assert.equal(verdict(key, "p send a@1", "p send b@2", "c receive b", "c receive a").verdict, "ok");
  assert.equal(verdict(all, "p send a", "p send b", "c receive b a").verdict, "violated");
  assert.equal(verdict(all, "p send a", "p send b", "c receive a b", "d receive a").verdict, "ok");
  const [first, second, third, fourth] = historyOf(...swapped) as [Operation, Operation, Operation, Operation];
  const together = [first, { ...second, called: 0.5 }, third, fourth];
  assert.equal(delivery(all).check(together).verdict, "ok");
  const overlapping = [first, second, { ...third, returned: 7 }, fourth];
  assert.equal(delivery(all).check(overlapping).verdict, "ok");
});

test("an honest queue is never accused, and one that loses, repeats or swaps is", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { minLength: 4, maxLength: 60 }), fc.nat(), (steps, chance) => {
      const queue: string[] = [];
      const lines: string[] = [];
      let sent = 0;
      for (const step of steps) {
        if (step < 2) {
          queue.push(`m${sent}`);
          lines.push(`p${step} send m${sent++}@k`);
        } else lines.push(`c${step} receive ${queue.splice(0, step - 1).join(" ")}`.trim());
      }
      lines.push(`c receive ${queue.join(" ")}`.trim());
      const strict = { promise: "exactly-once", order: "key" } as const;
      assert.equal(verdict(strict, ...lines).verdict, "ok");
      if (sent < 2) return;
      const receives = lines.flatMap((line, i) => (/receive m/.test(line) ? [i] : []));
      const at = receives[chance % receives.length] as number;
      const line = lines[at] as string;
      const without = lines.with(at, line.replace(/ m\d+/, ""));
      assert.equal(verdict(strict, ...without).verdict, "violated");
      assert.equal(verdict(strict, ...lines, line).verdict, "violated");
      const late = [...without, `c receive ${/m\d+/.exec(line)?.[0]}`];
      if (at < (receives.at(-1) as number)) assert.equal(verdict(strict, ...late).verdict, "violated");
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("malformed histories and options are refused", () => {
  const promise = { promise: "exactly-once" } as const;
  assert.throws(() => verdict(promise, "p send a", "p send a"), /id 1: the message "a" is sent twice/);
  assert.throws(() => verdict(promise, "p put a"), /id 0: given the name put/);
  assert.throws(() => delivery({ promise: "twice" as never }), { code: "INVALID_ARGUMENT" });
  assert.throws(() => delivery({ promise: "exactly-once", order: "some" as never }), { code: "INVALID_ARGUMENT" });
});
