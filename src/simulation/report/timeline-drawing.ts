import type { Operation } from "../../check/index.ts";
import { escapeHtml } from "../../core/index.ts";
import { faultTable } from "../faults.ts";
import type { SimulationResult } from "../result.ts";
import type { TimelineEntry } from "../timeline.ts";

const laneHeight = 44;
const left = 110;
const top = 24;
/** Shapes of one kind that are drawn. */
const mostShapes = 2_000;

/** Instants to pixels. */
interface Scale {
  readonly x: (at: number) => number;
  readonly y: (machine: string) => number;
  readonly lanes: ReadonlyMap<string, number>;
  readonly width: number;
  readonly end: number;
}

/** One lane for each machine, virtual time from left to right. */
export function drawTimeline(result: SimulationResult): string {
  const { timeline, history, virtualMs, failure } = result;
  const machines = machinesOf(result);
  const width = Math.min(20_000, Math.max(900, virtualMs * 2));
  const end = Math.max(virtualMs, 1);
  const lane = new Map(machines.map((machine, i) => [machine, top + i * laneHeight]));
  const scale: Scale = {
    x: (at) => left + (Math.min(at, end) / end) * width,
    y: (machine) => lane.get(machine) ?? top,
    lanes: lane,
    width: left + width + 20,
    end,
  };
  const height = top + machines.length * laneHeight + 20;
  const involved = new Set(failure?.operations.map(({ id }) => id));
  const shapes = [
    ...machines.flatMap((machine) => drawLane(machine, scale)),
    ...machines.flatMap((machine) => drawLives(machine, timeline, scale)),
    ...drawPauses(timeline, scale),
    ...drawMessages(timeline, scale),
    ...drawFaults(result, scale, height),
    ...history.slice(0, mostShapes).flatMap((operation) => drawOperation(operation, involved.has(operation.id), scale)),
    ...(failure ? [line(scale.x(failure.at), 0, scale.x(failure.at), height, "mark", failure.message)] : []),
  ];
  return `<svg width="${scale.width}" height="${height}" xmlns="http://www.w3.org/2000/svg">\n${shapes.join("\n")}\n${drawAxis(scale, height)}\n</svg>`;
}

function machinesOf({ timeline, history }: SimulationResult): string[] {
  const names = new Set<string>();
  for (const { machine, kind, to } of timeline) {
    if (kind !== "fault" && kind !== "heal" && machine !== "world") names.add(machine);
    if (to !== undefined) names.add(to);
  }
  for (const { client } of history) names.add(machineOf(client));
  const isClient = (name: string) => name.startsWith("client-");
  return ["world", ...[...names].sort((a, b) => Number(isClient(a)) - Number(isClient(b)) || (a < b ? -1 : 1))];
}

/** A session of a node is named after the machine and its life. */
function machineOf(client: string): string {
  return client.replace(/\/\d+$/, "");
}

function drawLane(machine: string, { y, width }: Scale): string[] {
  const at = y(machine);
  return [
    `<line class="lane" x1="${left}" y1="${at + laneHeight / 2}" x2="${width}" y2="${at + laneHeight / 2}"/>`,
    `<text x="4" y="${at + laneHeight / 2 + 4}">${escapeHtml(machine)}</text>`,
  ];
}

function drawLives(machine: string, timeline: readonly TimelineEntry[], scale: Scale): string[] {
  const shapes: string[] = [];
  let since: number | undefined;
  for (const { at, machine: whose, kind } of timeline) {
    if (whose !== machine) continue;
    if (kind === "start") since ??= at;
    if (kind !== "crash" || since === undefined) continue;
    shapes.push(bar(since, at, scale.y(machine) + 8, laneHeight - 16, "life", "a life of the process", scale));
    since = undefined;
  }
  if (since !== undefined)
    shapes.push(bar(since, scale.end, scale.y(machine) + 8, laneHeight - 16, "life", "alive to the end", scale));
  return shapes;
}

function drawPauses(timeline: readonly TimelineEntry[], scale: Scale): string[] {
  const shapes: string[] = [];
  const paused = new Map<string, number>();
  for (const { at, machine, kind } of timeline) {
    if (kind === "pause") paused.set(machine, at);
    const since = paused.get(machine);
    if (since === undefined || (kind !== "resume" && kind !== "crash")) continue;
    paused.delete(machine);
    shapes.push(bar(since, at, scale.y(machine) + 8, laneHeight - 16, "pause", "paused", scale));
  }
  return shapes;
}

function drawMessages(timeline: readonly TimelineEntry[], { x, y }: Scale): string[] {
  return timeline
    .filter(({ kind, to }) => kind === "message" && to !== undefined)
    .slice(0, mostShapes)
    .map(({ at, sentAt = at, machine, to, text }) =>
      line(x(sentAt), y(machine) + laneHeight / 2, x(at), y(to as string) + laneHeight / 2, "message", text),
    );
}

/** Spells from the timeline, which says more of them; strokes of chance from the list of what struck, at the machine where they did. */
function drawFaults({ timeline, struck }: SimulationResult, scale: Scale, height: number): string[] {
  const spells = timeline
    .filter(({ kind }) => kind === "fault")
    .map(({ at, machine, text }) => ({ at, machine, text }));
  const strokes = struck
    .filter(({ kind }) => faultTable[kind].occurs === "chance")
    .map(({ at, site, id }) => ({ at, machine: site.split("→")[0] as string, text: id }));
  return [...spells, ...strokes].slice(0, mostShapes).map((fault) => drawFault(fault, scale, height));
}

interface Fault {
  readonly at: number;
  readonly machine: string;
  readonly text: string;
}

function drawFault({ at, machine, text }: Fault, { x, y, lanes }: Scale, height: number): string {
  const everywhere = machine === "network" || machine === "engine" || machine === "world" || !lanes.has(machine);
  const from = everywhere ? top : y(machine);
  return line(x(at), from, x(at), everywhere ? height - 20 : from + laneHeight, "fault", `${machine} ${text}`);
}

function drawOperation(operation: Operation, involved: boolean, scale: Scale): string[] {
  const { client, name, key, input, output, outcome, time } = operation;
  if (time === undefined) return [];
  const about = [
    client,
    name,
    key,
    JSON.stringify(input),
    outcome === "ok" ? `→ ${JSON.stringify(output ?? null)}` : `(${outcome})`,
  ];
  const text = about.filter((part) => part !== undefined).join(" ");
  const until = time[1] ?? scale.end;
  const y = scale.y(machineOf(client)) + laneHeight / 2 + 2;
  const shape = bar(time[0], until, y, 9, outcome, text, scale);
  return involved ? [shape, bar(time[0], until, y - 2, 13, "mark", text, scale)] : [shape];
}

function drawAxis({ x, end }: Scale, height: number): string {
  const pixelsPerMs = (x(end) - x(0)) / end;
  const step = 10 ** Math.ceil(Math.log10(60 / pixelsPerMs));
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, i) => i * step).slice(0, 500);
  return ticks
    .map(
      (at) =>
        `<text x="${x(at)}" y="14">${at} ms</text><line class="lane" x1="${x(at)}" y1="18" x2="${x(at)}" y2="${height}" stroke-dasharray="1 6"/>`,
    )
    .join("");
}

function bar(from: number, to: number, y: number, height: number, kind: string, text: string, { x }: Scale): string {
  const width = Math.max(2, x(to) - x(from));
  return `<rect class="${kind}" x="${x(from).toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${height}"><title>${escapeHtml(text)}</title></rect>`;
}

function line(x1: number, y1: number, x2: number, y2: number, kind: string, text: string): string {
  return `<line class="${kind}" x1="${x1.toFixed(1)}" y1="${y1}" x2="${x2.toFixed(1)}" y2="${y2}"><title>${escapeHtml(text)}</title></line>`;
}
