import type { MemberEntry, Party, ShardEntry, WantedEntry } from "./keys.ts";
import { rebalance } from "./rebalance.ts";
import type { MapState, Seen } from "./state.ts";

/** What is to be written so that the shards come to where they should be. `epoch`: of the ownership that it was decided on, 0 if there was none. */
export type Step =
  /** Gives a shard that nobody owns, or whose owner is dead. */
  | { readonly kind: "assign"; readonly shard: number; readonly epoch: number; readonly to: Party }
  /** Asks the living owner to hand it over. */
  | { readonly kind: "ask"; readonly shard: number; readonly epoch: number; readonly to: Party }
  /** Asks no more. */
  | { readonly kind: "withdraw"; readonly shard: number; readonly epoch: number }
  /** Removes a member whose lease has ended. */
  | { readonly kind: "bury"; readonly member: string };

export interface PlanInput {
  readonly state: MapState;
  readonly shards: number;
  /** Whether the lease has not ended, as far as is known. */
  readonly lives: (lease: string) => boolean;
}

/** The members whose leases last, eldest first: ids ascend with time. */
export function livingMembers({ state, lives }: Omit<PlanInput, "shards">): Map<string, MemberEntry> {
  const living = [...state.members].filter(([, { value }]) => !value.void && lives(value.lease));
  return new Map(living.sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, { value }]) => [id, value]));
}

/**
 * Where each shard should be. What has been asked for counts as done, so the same question has the same answer while shards are on their way.
 * @param without a member that is about to leave
 */
export function targets(input: PlanInput, without?: string): readonly (Party | undefined)[] {
  const living = livingMembers(input);
  if (without !== undefined) living.delete(without);
  const { state, shards, lives } = input;
  const intended = Array.from({ length: shards }, (_, n) => {
    const shard = state.shards.get(n)?.value;
    const wanted = askedFor(state.wanted.get(n), shard);
    if (wanted && living.has(wanted.member)) return wanted.member;
    const owner = shard?.owner;
    return owner && lives(owner.lease) && living.has(owner.member) ? owner.member : undefined;
  });
  const owners = [...living].map(([id, { weight }]) => ({ id, weight }));
  return rebalance(intended, owners).map((id) => {
    const entry = id === undefined ? undefined : living.get(id);
    return id !== undefined && entry ? toParty(id, entry) : undefined;
  });
}

/** The steps from how it is to how it should be; none if it is so. */
export function plan(input: PlanInput): Step[] {
  const { state, lives } = input;
  const steps: Step[] = [];
  for (const [member, { value }] of state.members)
    if (!value.void && !lives(value.lease)) steps.push({ kind: "bury", member });
  targets(input).forEach((to, n) => {
    const shard = state.shards.get(n)?.value;
    const wanted = state.wanted.get(n);
    const owner = shard?.owner && lives(shard.owner.lease) ? shard.owner : undefined;
    if (!to) return;
    const at = { shard: n, epoch: shard?.epoch ?? 0 };
    if (!owner) steps.push({ kind: "assign", ...at, to });
    else if (owner.member === to.member) {
      if (wanted) steps.push({ kind: "withdraw", ...at });
    } else if (askedFor(wanted, shard)?.member !== to.member) steps.push({ kind: "ask", ...at, to });
  });
  return steps;
}

/** Whether the step, once it is written, can be seen in the state, or is overtaken by what has come after it. */
export function isShown(state: MapState, step: Step): boolean {
  if (step.kind === "bury") return !state.members.has(step.member);
  const { shard, epoch } = step;
  if ((state.shards.get(shard)?.value.epoch ?? 0) > epoch) return true;
  const wanted = state.wanted.get(shard)?.value;
  if (step.kind === "ask") return wanted?.epoch === epoch && wanted.member === step.to.member;
  return step.kind === "withdraw" && wanted === undefined;
}

export function toParty(member: string, { worker, lease, zone }: MemberEntry): Party {
  return { member, worker, lease, ...(zone !== undefined && { zone }) };
}

/** What is wanted of the present ownership; an older wish counts no more. */
export function askedFor(
  wanted: Seen<WantedEntry> | undefined,
  shard: ShardEntry | undefined,
): WantedEntry | undefined {
  return wanted && wanted.value.epoch === shard?.epoch ? wanted.value : undefined;
}
