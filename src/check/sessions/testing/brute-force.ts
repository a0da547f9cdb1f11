import type { Operation } from "../../history.ts";
import type { SessionGuarantee } from "../sessions.ts";

/** The number of the operation that set the value of a get or set; -1: null; `undefined`: none did. */
function versionOf(history: readonly Operation[], operation: Operation): number | undefined {
  if (operation.name === "set") return operation.id;
  if (operation.output === null) return -1;
  const set = history.find(
    ({ name, key, input }) => name === "set" && key === operation.key && input === operation.output,
  );
  return set?.id;
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}

type Guarantee = (history: readonly Operation[], older: (a: Operation, b: Operation) => boolean) => boolean;

function isEarlier(a: Operation, b: Operation): boolean {
  return a.client === b.client && a.id < b.id;
}

/**
 * Whether all gets that come after a get of what a client set are not older than what the client had done before it.
 */
function propagates(name: "set" | "get"): Guarantee {
  return (history, older) =>
    history.every((second) => {
      if (second.name !== "set") return true;
      const firsts = history.filter(
        (first) => first.name === name && first.outcome === "ok" && isEarlier(first, second),
      );
      if (firsts.some((first) => first.key === second.key && older(second, first))) return false;
      const observers = history.filter((get) => get.name === "get" && versionOf(history, get) === second.id);
      const later = history.filter(
        (get) => get.name === "get" && observers.some((observer) => isEarlier(observer, get)),
      );
      return later.every((get) => !firsts.some((first) => first.key === get.key && older(get, first)));
    });
}

function follows(name: "set" | "get"): Guarantee {
  return (history, older) =>
    history.every((second) => {
      if (second.name !== "get") return true;
      const firsts = history.filter(
        (first) => first.name === name && first.outcome === "ok" && isEarlier(first, second),
      );
      return !firsts.some((first) => first.key === second.key && older(second, first));
    });
}

const guaranteesByName: Readonly<Record<SessionGuarantee, Guarantee>> = {
  "read-your-writes": follows("set"),
  "monotonic-reads": follows("get"),
  "monotonic-writes": propagates("set"),
  "writes-follow-reads": propagates("get"),
};

/** Tries all orders of each key's versions. */
export function keepsByForce(history: readonly Operation[], guarantees: readonly SessionGuarantee[]): boolean {
  const keys = [...new Set(history.map(({ key }) => key))];
  return keys.every((judged) => {
    const sets = history.filter(({ name, key }) => name === "set" && key === judged).map(({ id }) => id);
    return permutations(sets).some((order) => {
      const ages = [-1, ...order];
      const older = (a: Operation, b: Operation) => {
        const [first, second] = [versionOf(history, a), versionOf(history, b)];
        if (a.key !== judged || first === undefined || second === undefined) return false;
        return ages.indexOf(first) < ages.indexOf(second);
      };
      return guarantees.every((name) => guaranteesByName[name](history, older));
    });
  });
}

/**
 * By the definition of CC of Bouajjani et al. (section 3.2), with the smallest causal order: for each get, some
 * sequence of the operations causally before it leaves the value that it got.
 */
export function isCausalByForce(history: readonly Operation[]): boolean {
  const before = causes(history);
  return history.every((get) => {
    if (before(get.id, get.id)) return false;
    if (get.name === "set") return true;
    const version = versionOf(history, get);
    if (version === undefined) return false;
    const past = history.filter(({ id, name, key }) => name === "set" && key === get.key && before(id, get.id));
    return permutations(past).some((order) => {
      const isLegal = order.every((a, i) => order.slice(i + 1).every((b) => !before(b.id, a.id)));
      return isLegal && (order.at(-1)?.id ?? -1) === version;
    });
  });
}

/** The transitive closure of the order of sessions and of sets before their gets. */
function causes(history: readonly Operation[]): (a: number, b: number) => boolean {
  const reached = history.map((from) =>
    history.map((to) => {
      const isRead = to.name === "get" && versionOf(history, to) === from.id;
      return isRead || (from.outcome === "ok" && isEarlier(from, to));
    }),
  );
  for (const [via] of history.entries())
    for (const row of reached)
      if (row[via]) for (const [to] of history.entries()) row[to] ||= reached[via]?.[to] ?? false;
  return (a, b) => reached[a]?.[b] ?? false;
}
