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
