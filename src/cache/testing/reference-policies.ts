import { FrequencySketch } from "../local/frequency-sketch.ts";
import { hashKey } from "../local/key-hash.ts";
import type { Eviction } from "../local/policy.ts";

/** A policy as its paper says it, in arrays, without any thought of speed. The first element of an array is the newest. */
export interface ReferencePolicy {
  has(key: string): boolean;
  /** A read of a key that is there, or another value for it. */
  access(key: string): void;
  /** A new key. */
  insert(key: string): void;
  remove(key: string): void;
  keys(): string[];
}

export const referencePolicies: Readonly<Record<Eviction, (capacity: number) => ReferencePolicy>> = {
  lru: (capacity) => queue(capacity, true),
  fifo: (capacity) => queue(capacity, false),
  lfu,
  "s3-fifo": s3Fifo,
  "w-tinylfu": tinyLfu,
};

function without(keys: string[], key: string): boolean {
  const at = keys.indexOf(key);
  if (at >= 0) keys.splice(at, 1);
  return at >= 0;
}

function queue(capacity: number, refresh: boolean): ReferencePolicy {
  const keys: string[] = [];
  return {
    has: (key) => keys.includes(key),
    access: (key) => {
      if (refresh && without(keys, key)) keys.unshift(key);
    },
    insert: (key) => {
      if (keys.length === capacity) keys.pop();
      keys.unshift(key);
    },
    remove: (key) => void without(keys, key),
    keys: () => [...keys],
  };
}

function lfu(capacity: number): ReferencePolicy {
  let time = 0;
  const entries = new Map<string, { uses: number; last: number }>();
  return {
    has: (key) => entries.has(key),
    access: (key) => void entries.set(key, { uses: (entries.get(key)?.uses ?? 0) + 1, last: time++ }),
    insert: (key) => {
      if (entries.size === capacity) {
        const [victim] = [...entries].sort(([, a], [, b]) => a.uses - b.uses || a.last - b.last);
        entries.delete(victim?.[0] ?? "");
      }
      entries.set(key, { uses: 1, last: time++ });
    },
    remove: (key) => void entries.delete(key),
    keys: () => [...entries.keys()],
  };
}

/** Algorithm 1 of the paper, line by line; ghosts age as section 4 has it: by the evictions since. */
function s3Fifo(capacity: number): ReferencePolicy {
  const small: string[] = [];
  const main: string[] = [];
  /** With when they were evicted, counted in such evictions. */
  const ghosts = new Map<string, number>();
  let evictions = 0;
  const frequency = new Map<string, number>();
  const smallTarget = Math.max(1, Math.floor(capacity * 0.1));

  function evictSmall(): void {
    for (let tail = small.pop(); tail !== undefined; tail = small.pop()) {
      if ((frequency.get(tail) ?? 0) > 1) {
        main.unshift(tail);
        frequency.set(tail, 0);
      } else {
        ghosts.set(tail, ++evictions);
        return;
      }
    }
  }

  function evictMain(): void {
    for (let tail = main.pop(); tail !== undefined; tail = main.pop()) {
      const uses = frequency.get(tail) ?? 0;
      if (uses === 0) return;
      frequency.set(tail, uses - 1);
      main.unshift(tail);
    }
  }

  return {
    has: (key) => small.includes(key) || main.includes(key),
    access: (key) => void frequency.set(key, Math.min(3, (frequency.get(key) ?? 0) + 1)),
    insert: (key) => {
      while (small.length + main.length >= capacity) {
        if (small.length >= smallTarget || main.length === 0) evictSmall();
        else evictMain();
      }
      frequency.set(key, 0);
      const evicted = ghosts.get(key);
      ghosts.delete(key);
      const remembered = evicted !== undefined && evictions - evicted < capacity - smallTarget;
      (remembered ? main : small).unshift(key);
    },
    remove: (key) => void (without(small, key) || without(main, key)),
    keys: () => [...small, ...main],
  };
}

/** Section 4 of the paper. The sketch is the real one: what it counts is tested by itself. */
function tinyLfu(capacity: number): ReferencePolicy {
  const window: string[] = [];
  const probation: string[] = [];
  const kept: string[] = [];
  const sketch = new FrequencySketch(capacity);
  const windowTarget = Math.max(1, Math.floor(capacity * 0.01));
  const used = (key: string): number => sketch.estimate(hashKey(key));

  function makeRoom(): void {
    const main = probation.length > 0 ? probation : kept;
    const [victim, candidate] = [main.at(-1), window.at(-1)];
    if (victim === undefined) window.pop();
    else if (window.length < windowTarget || candidate === undefined) main.pop();
    else if (used(candidate) > used(victim)) {
      main.pop();
      window.pop();
      probation.unshift(candidate);
    } else window.pop();
  }

  return {
    has: (key) => [...window, ...probation, ...kept].includes(key),
    access: (key) => {
      sketch.add(hashKey(key));
      if (without(window, key)) window.unshift(key);
      else if (without(kept, key)) kept.unshift(key);
      else if (without(probation, key)) {
        kept.unshift(key);
        const demoted = kept.length > Math.floor((capacity - windowTarget) * 0.8) ? kept.pop() : undefined;
        if (demoted !== undefined) probation.unshift(demoted);
      }
    },
    insert: (key) => {
      if (window.length + probation.length + kept.length === capacity) makeRoom();
      sketch.add(hashKey(key));
      window.unshift(key);
      while (window.length > windowTarget) probation.unshift(window.pop() as string);
    },
    remove: (key) => void (without(window, key) || without(probation, key) || without(kept, key)),
    keys: () => [...window, ...probation, ...kept],
  };
}
