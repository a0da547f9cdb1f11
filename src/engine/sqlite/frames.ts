import { ByteReader, ByteWriter, CorruptionError } from "../../core/index.ts";
import type { RawAdd, RawBound, RawCheck, RawCommit, RawMutation, RawOutcome, RawRefused, RawSum } from "../driver.ts";
import { anyRevision } from "../driver.ts";

/*
 * Commits and their outcomes as one ArrayBuffer each, transferred between the threads: cloning the 64 small arrays of a typical
 * flush takes 0.4 ms, more than all else that the main thread does for it.
 */

type Frame = Uint8Array<ArrayBuffer>;

const usualBytes = 64 * 1024;
/** Kept between flushes, so that its memory grows once. */
let writer = new ByteWriter(usualBytes);

export function encodeCommits(commits: readonly RawCommit[]): Frame {
  return encode(() => writeCommits(commits));
}

export function encodeOutcomes(outcomes: readonly RawOutcome[]): Frame {
  return encode(() => writeOutcomes(outcomes));
}

function encode(write: () => void): Frame {
  try {
    write();
    const frame = writer.take();
    if (frame.length > 16 * usualBytes) writer = new ByteWriter(usualBytes);
    return frame;
  } catch (error) {
    // What was half written must not come before the next frame.
    writer = new ByteWriter(usualBytes);
    throw error;
  }
}

function writeCommits(commits: readonly RawCommit[]): void {
  writer.u32(commits.length);
  for (const { checks, mutations } of commits) {
    writer.u32(checks.length).u32(mutations.length);
    for (const check of checks) writeCheck(check);
    for (const mutation of mutations) writeMutation(mutation);
  }
}

/** The arrays in the commits are views into the frame. */
export function decodeCommits(frame: Frame): RawCommit[] {
  const reader = new ByteReader(frame);
  const commits = new Array<RawCommit>(reader.u32());
  for (let i = 0; i < commits.length; i++) {
    const checks = new Array<RawCheck>(reader.u32());
    const mutations = new Array<RawMutation>(reader.u32());
    for (let c = 0; c < checks.length; c++) checks[c] = readCheck(reader);
    for (let m = 0; m < mutations.length; m++) mutations[m] = readMutation(reader);
    // Bounds on size were checked by the sender.
    commits[i] = { checks, mutations, bytes: 0 };
  }
  reader.end();
  return commits;
}

function writeOutcomes(outcomes: readonly RawOutcome[]): void {
  writer.u32(outcomes.length);
  for (const outcome of outcomes) {
    if (!outcome.ok) writeRefused(outcome);
    else if (outcome.adds.length === 0 && outcome.offsets.length === 0) writer.u8(tag.plain).u64(outcome.revision);
    else {
      writer.u8(tag.results).u64(outcome.revision);
      writer.u32(outcome.adds.length).u32(outcome.offsets.length);
      for (const { value, ceiling } of outcome.adds) writeOptional(writer.f64(value), ceiling);
      for (const offset of outcome.offsets) writer.u64(offset);
    }
  }
}

export function decodeOutcomes(frame: Frame): RawOutcome[] {
  const reader = new ByteReader(frame);
  const outcomes = new Array<RawOutcome>(reader.u32());
  for (let i = 0; i < outcomes.length; i++) outcomes[i] = readOutcome(reader);
  reader.end();
  return outcomes;
}

/** The first byte of each thing that comes in several kinds. */
const tag = {
  keyCheck: 0,
  rangeCheck: 1,
  set: 2,
  setWithTtl: 3,
  delete: 4,
  add: 5,
  append: 6,
  plain: 7,
  results: 8,
  refusedCheck: 9,
  refusedCeiling: 10,
  refusedNotInteger: 11,
  refusedOverflow: 12,
  presenceCheck: 13,
} as const;

const clocks = ["none", "ms", "us"] as const;
/** Instead of a clock: there is no bound. */
const noBound = 255;

function writeCheck(check: RawCheck): void {
  if (check.kind === "key") {
    if (check.revision === anyRevision) {
      writer.u8(tag.presenceCheck).bytes(check.key);
      return;
    }
    writer.u8(tag.keyCheck).bytes(check.key).u64(check.revision);
    return;
  }
  writer.u8(tag.rangeCheck).bytes(check.start).bytes(check.end).u32(check.keys.length);
  for (let i = 0; i < check.keys.length; i++) {
    writer.bytes(check.keys[i] as Uint8Array).u64(check.revisions[i] as number);
  }
}

function readCheck(reader: ByteReader): RawCheck {
  const kind = reader.u8();
  if (kind === tag.keyCheck) return { kind: "key", key: reader.bytes(), revision: reader.u64() };
  if (kind === tag.presenceCheck) return { kind: "key", key: reader.bytes(), revision: anyRevision };
  const start = reader.bytes();
  const end = reader.bytes();
  const keys = new Array<Uint8Array>(reader.u32());
  const revisions = new Array<number>(keys.length);
  for (let i = 0; i < keys.length; i++) {
    keys[i] = reader.bytes();
    revisions[i] = reader.u64();
  }
  return { kind: "range", start, end, keys, revisions };
}

function writeMutation(mutation: RawMutation): void {
  switch (mutation.kind) {
    case "set":
      if (mutation.ttl === undefined) writer.u8(tag.set).bytes(mutation.key).bytes(mutation.value);
      else writer.u8(tag.setWithTtl).bytes(mutation.key).bytes(mutation.value).f64(mutation.ttl);
      break;
    case "delete":
      writer.u8(tag.delete).bytes(mutation.key);
      break;
    case "add":
      writeAdd(mutation);
      break;
    case "append":
      writer.u8(tag.append).bytes(mutation.topic).u32(mutation.records.length);
      for (const record of mutation.records) writer.bytes(record);
      break;
  }
}

function readMutation(reader: ByteReader): RawMutation {
  const kind = reader.u8();
  switch (kind) {
    case tag.set:
      return { kind: "set", key: reader.bytes(), value: reader.bytes(), ttl: undefined };
    case tag.setWithTtl:
      return { kind: "set", key: reader.bytes(), value: reader.bytes(), ttl: reader.f64() };
    case tag.delete:
      return { kind: "delete", key: reader.bytes() };
    case tag.add:
      return readAdd(reader);
    case tag.append: {
      const topic = reader.bytes();
      const records = new Array<Uint8Array>(reader.u32());
      for (let i = 0; i < records.length; i++) records[i] = reader.bytes();
      return { kind: "append", topic, records };
    }
    default:
      throw unknownTag(kind);
  }
}

function writeAdd({ key, delta, floor, ceiling, ttl }: RawAdd): void {
  writer.u8(tag.add).bytes(key).f64(delta);
  writeBound(floor);
  writeBound(ceiling);
  writeOptional(writer, ttl);
}

function readAdd(reader: ByteReader): RawAdd {
  const key = reader.bytes();
  const delta = reader.f64();
  return { kind: "add", key, delta, floor: readBound(reader), ceiling: readBound(reader), ttl: readOptional(reader) };
}

function writeBound(bound: RawBound | undefined): void {
  if (bound === undefined) writer.u8(noBound);
  else writer.u8(clocks.indexOf(bound.clock)).f64(bound.plus);
}

function readBound(reader: ByteReader): RawBound | undefined {
  const clock = reader.u8();
  return clock === noBound ? undefined : { clock: clocks[clock] as RawBound["clock"], plus: reader.f64() };
}

function writeOptional(to: ByteWriter, value: number | undefined): void {
  if (value === undefined) to.u8(0);
  else to.u8(1).f64(value);
}

function readOptional(reader: ByteReader): number | undefined {
  return reader.u8() === 0 ? undefined : reader.f64();
}

function writeRefused(refused: RawRefused): void {
  switch (refused.reason) {
    case "check":
      writer.u8(tag.refusedCheck).u32(refused.index);
      break;
    case "ceiling":
      writer.u8(tag.refusedCeiling).u32(refused.index).f64(refused.value).f64(refused.ceiling);
      break;
    case "not-integer":
      writer.u8(tag.refusedNotInteger).u32(refused.index);
      break;
    case "overflow":
      writer.u8(tag.refusedOverflow).u32(refused.index);
      break;
  }
}

function readOutcome(reader: ByteReader): RawOutcome {
  const kind = reader.u8();
  switch (kind) {
    case tag.plain:
      return { ok: true, revision: reader.u64(), adds: none, offsets: none };
    case tag.results:
      return readResults(reader);
    case tag.refusedCheck:
      return { ok: false, reason: "check", index: reader.u32() };
    case tag.refusedCeiling:
      return { ok: false, reason: "ceiling", index: reader.u32(), value: reader.f64(), ceiling: reader.f64() };
    case tag.refusedNotInteger:
      return { ok: false, reason: "not-integer", index: reader.u32() };
    case tag.refusedOverflow:
      return { ok: false, reason: "overflow", index: reader.u32() };
    default:
      throw unknownTag(kind);
  }
}

function readResults(reader: ByteReader): RawOutcome {
  const revision = reader.u64();
  const adds = new Array<RawSum>(reader.u32());
  const offsets = new Array<number>(reader.u32());
  for (let i = 0; i < adds.length; i++) adds[i] = { value: reader.f64(), ceiling: readOptional(reader) };
  for (let i = 0; i < offsets.length; i++) offsets[i] = reader.u64();
  return { ok: true, revision, adds, offsets };
}

const none: readonly never[] = [];

function unknownTag(kind: number): CorruptionError {
  return new CorruptionError(`a message between the threads of the SQLite engine holds the unknown kind ${kind}`);
}
