/** Structures that stand by themselves, without an engine: where keys belong among nodes. */
export * from "./placement/index.ts";
