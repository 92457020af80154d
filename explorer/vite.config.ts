import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { defineConfig, type Plugin } from "vite";

const here = import.meta.dirname;
const page = join(here, "../src/voxlex/explorer/page");

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === "node_modules" || entry.name.startsWith(".")) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : [path];
  });
}

/** Writes what the page was built from, so that a test can tell whether it is built from the sources as they are. */
function record(): Plugin {
  return {
    name: "record",
    generateBundle() {
      // What is built in keeps its licences.
      const names = [...this.getModuleIds()].map((id) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[1]);
      const texts = [...new Set(names)].filter((name) => name !== undefined).sort().map((name) => {
        const folder = join(here, "node_modules", name);
        const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
        return `${name} ${version}, ${license}\n\n${file ? readFileSync(join(folder, file), "utf8").trim() : ""}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) });
    },
    closeBundle() {
      const digests = (folder: string) =>
        Object.fromEntries(
          sources(folder)
            .map((path) => [relative(folder, path), createHash("sha256").update(readFileSync(path)).digest("hex")])
            .sort(),
        );
      const text = JSON.stringify({ sources: digests(here), built: digests(page) }, null, 1);
      writeFileSync(join(page, "built-from.json"), `${text}\n`);
    },
  };
}

export default defineConfig({
  root: here,
  plugins: [record()],
  // Codecs of zarr, which the viewer of volumes would take along and never use here.
  resolve: { alias: [{ find: /^numcodecs\/(blosc|lz4|zstd)$/, replacement: join(here, "src/no-codec.ts") }] },
  build: {
    outDir: page,
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000,
    assetsInlineLimit: 0,
  },
});
