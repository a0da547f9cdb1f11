/** Steps shown at each end of a long path. */
const SHOWN = 8;

/**
 * The way into a value as one would write it: `.items[3]["a b"]`. A number is an index, a string a property, or, in angle brackets, a place
 * that has no notation (`<key 2>`). Long paths are shortened in the middle.
 */
export function pathName(steps: readonly (string | number)[]): string {
  const names = steps.map(stepName);
  if (names.length > 2 * SHOWN) names.splice(SHOWN, names.length - 2 * SHOWN, "…");
  return names.join("");
}

function stepName(step: string | number): string {
  if (typeof step === "number") return `[${step}]`;
  if (/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(step) && step.length <= 60) return `.${step}`;
  if (step.startsWith("<")) return step;
  return `[${JSON.stringify(step.slice(0, 60))}]`;
}
