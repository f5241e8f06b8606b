// Python's library as bytecode: Pyodide brings it as source, and compiling it was most of a calculator's start.
// node compile_stdlib.mjs file:///FOLDER/: the modules that Python imports at its start, and those that
// the calculators import, take their source's place in FOLDER/python_stdlib.zip. All others stay source, which is half as large.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [folder] = process.argv.slice(2);
const library = new URL("python_stdlib.zip", folder);
const { loadPyodide } = await import(new URL("pyodide.mjs", folder));
const python = await loadPyodide({ indexURL: fileURLToPath(folder) });
python.FS.writeFile("/source.zip", readFileSync(library));
python.runPython(`
import importlib.resources, importlib.util, pkgutil, statistics, sys, zipfile
from importlib._bootstrap_external import _code_to_hash_pyc

(library,) = (path for path in sys.path if path.endswith(".zip"))
with zipfile.ZipFile("/source.zip") as source, zipfile.ZipFile("/bytecode.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
    used = {module.__spec__.origin for module in sys.modules.values() if getattr(module, "__spec__", None)}  # also what reading a zip has imported
    for name in source.namelist():
        data, path = source.read(name), f"{library}/{name}"
        if path in used:
            code = compile(data, path, "exec", dont_inherit=True)
            name, data = f"{name}c", _code_to_hash_pyc(code, importlib.util.source_hash(data), False)
        entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # the same bytes each time
        entry.compress_type = zipfile.ZIP_DEFLATED
        target.writestr(entry, data)
`);
writeFileSync(library, python.FS.readFile("/bytecode.zip"));
