import assert from "node:assert/strict";
import { sleep } from "../../src/core/index.ts";
import type { Scenario, SimulatedNode, World } from "../../src/simulation/index.ts";
import type { PlantedBug } from "./planted-bug.ts";
import { recoverFile, replaceFile } from "./replace-file.ts";

/** What a member must not forget. */
interface Promised {
  readonly term: number;
  /** Whom it has voted for in this term. */
  readonly vote: string | null;
}

/** What a member writes down of it. */
type Persisted = "all" | "term" | "nothing";

type Message =
  | { readonly kind: "request"; readonly term: number }
  | { readonly kind: "vote"; readonly term: number }
  | { readonly kind: "heartbeat"; readonly term: number };

const port = 1;
const heartbeatMs = 150;
const path = "/promised";

/** Members elect a leader by majority (Ongaro, Ousterhout: In search of an understandable consensus algorithm, 2014, section 5.2, without the log). */
function elections(persisted: Persisted): Scenario {
  return {
    name: "leader election",
    faults: ["process", "network", "clock", "disk"],
    nodes: { member: { count: 3, start: (node) => start(node, persisted) } },
    uncaught: "crash",
    workload: {
      clients: 1,
      operations: 40,
      think: 600,
      setup: ({ state }) => void state.set("leaders", new Map()),
      operation: () => {},
    },
    invariants: { "one leader in a term": oneLeader },
    eventually: { "somebody leads": ({ now, state }) => now - ((state.get("heartbeat") as number) ?? 0) < 2_000 },
    leader: ({ state }) => state.get("leader") as string | undefined,
  };
}

type Leaders = Map<number, Set<string>>;

function oneLeader({ state }: World): void {
  for (const [term, names] of state.get("leaders") as Leaders)
    assert.ok(names.size <= 1, `${[...names].join(" and ")} lead in term ${term}`);
}

async function start(node: SimulatedNode, persisted: Persisted): Promise<void> {
  const member = new Member(node, await load(node), persisted);
  node.network.bind(port, ({ from, payload }) => member.receive(from, payload as Message));
  void member.run();
}

async function load({ disk }: SimulatedNode): Promise<Promised> {
  const content = await recoverFile(disk, path);
  return content === undefined ? { term: 0, vote: null } : (JSON.parse(content) as Promised);
}

class Member {
  readonly #node: SimulatedNode;
  readonly #persisted: Persisted;
  /** Invariant: on the disk before anybody is told of it. */
  #promised: Promised;
  #role: "follower" | "candidate" | "leader" = "follower";
  readonly #votes = new Set<string>();
  #heardAt = 0;
  /** What was received is dealt with one after another. */
  #work: Promise<void> = Promise.resolve();

  constructor(node: SimulatedNode, promised: Promised, persisted: Persisted) {
    this.#node = node;
    this.#promised = promised;
    this.#persisted = persisted;
    this.#heardAt = node.runtime.clock.monotonic();
  }

  receive(from: string, message: Message): void {
    this.#work = this.#work.then(() => this.#handle(from, message));
  }

  async run(): Promise<void> {
    const { runtime } = this.#node;
    for (;;) {
      if (this.#role === "leader") {
        this.#lead();
        await sleep(runtime, heartbeatMs);
        continue;
      }
      const patience = 400 + runtime.random.next() * 400;
      await sleep(runtime, patience);
      if (runtime.clock.monotonic() - this.#heardAt >= patience) {
        this.#work = this.#work.then(() => this.#stand());
        await this.#work;
      }
    }
  }

  async #handle(from: string, { kind, term }: Message): Promise<void> {
    if (term > this.#promised.term) {
      this.#role = "follower";
      await this.#promise({ term, vote: null });
    }
    if (term < this.#promised.term) return;
    if (kind === "heartbeat") {
      this.#heardAt = this.#node.runtime.clock.monotonic();
      if (this.#role === "candidate") this.#role = "follower";
    } else if (kind === "request") await this.#vote(from, term);
    else if (this.#role === "candidate") this.#count(from);
  }

  async #vote(candidate: string, term: number): Promise<void> {
    const { vote } = this.#promised;
    if (vote !== null && vote !== candidate) return;
    if (vote === null) await this.#promise({ term, vote: candidate });
    this.#heardAt = this.#node.runtime.clock.monotonic();
    this.#send(candidate, { kind: "vote", term });
  }

  async #stand(): Promise<void> {
    const { name } = this.#node;
    const term = this.#promised.term + 1;
    await this.#promise({ term, vote: name });
    this.#role = "candidate";
    this.#votes.clear();
    this.#count(name);
    for (const peer of this.#others()) this.#send(peer, { kind: "request", term });
  }

  #count(voter: string): void {
    this.#votes.add(voter);
    if (2 * this.#votes.size <= this.#node.peers("member").length) return;
    this.#role = "leader";
    const leaders = this.#node.state.get("leaders") as Leaders;
    const { term } = this.#promised;
    leaders.set(term, (leaders.get(term) ?? new Set()).add(this.#node.name));
    this.#lead();
  }

  #lead(): void {
    const { state, name } = this.#node;
    state.set("leader", name);
    state.set("heartbeat", this.#node.runtime.clock.monotonic());
    for (const peer of this.#others()) this.#send(peer, { kind: "heartbeat", term: this.#promised.term });
  }

  async #promise(promised: Promised): Promise<void> {
    const { term } = promised;
    const kept = this.#persisted === "all" ? promised : { term, vote: null };
    const isNew = this.#persisted === "all" || term > this.#promised.term;
    if (this.#persisted !== "nothing" && isNew) await replaceFile(this.#node.disk, path, JSON.stringify(kept));
    this.#promised = promised;
  }

  #others(): string[] {
    return this.#node.peers("member").filter((peer) => peer !== this.#node.name);
  }

  #send(to: string, message: Message): void {
    this.#node.network.send(to, port, message);
  }
}

const correct = elections("all");

export const forgottenVote: PlantedBug = {
  name: "forgotten-vote",
  what: "a member that has voted forgets for whom in a crash, and votes for somebody else in the same term",
  within: 100,
  correct,
  planted: elections("term"),
};

export const forgottenTerm: PlantedBug = {
  name: "forgotten-term",
  what: "a member forgets in a crash which term it is, and helps to elect a second leader of a term that has one",
  within: 20,
  correct,
  planted: elections("nothing"),
};
