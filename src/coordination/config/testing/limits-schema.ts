import type { StandardSchema } from "../../../core/index.ts";

/** What the tests configure. */
export interface Limits {
  readonly limit: number;
  readonly names?: readonly string[];
}

/** Limits from 1 up to `most`; names default to none. */
export function limitsUpTo(most: number): StandardSchema<Limits, Limits> {
  return {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) => {
        const { limit, names = [] } = (value ?? {}) as Partial<Limits>;
        if (typeof limit === "number" && limit >= 1 && limit <= most) return { value: { limit, names } };
        return { issues: [{ message: `from 1 to ${most}`, path: ["limit"] }] };
      },
    },
  };
}
