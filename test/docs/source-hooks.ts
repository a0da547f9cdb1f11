import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";

/** Makes `import "ashlar"` and its subpaths mean the sources, by the exports map. Preload with `node --import`. */
const root = new URL("../../", import.meta.url);
const { exports } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as {
  exports: Record<string, string | { default: string }>;
};

registerHooks({
  resolve(specifier, context, next) {
    if (specifier !== "ashlar" && !specifier.startsWith("ashlar/")) return next(specifier, context);
    const target = exports[specifier.replace("ashlar", ".")];
    if (typeof target !== "object") throw new Error(`${specifier} is not in the exports map`);
    const source = target.default.replace("./dist/", "./src/").replace(/\.js$/, ".ts");
    return { url: new URL(source, root).href, shortCircuit: true };
  },
});
