"""An index on disk: a manifest, its arrays in one file that is mapped when read, and what FAISS wrote of it."""

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from safetensors.numpy import save_file

from interest.batch import Tensors
from interest.errors import InvalidRelease
from interest.mapped import map_tensors
from ranking.index_build import BuildReport
from ranking.index_cells import Cells
from ranking.index_curve import Curve
from ranking.index_flat import FlatMain, Main
from ranking.index_hnsw import HnswMain
from ranking.index_ivf import IvfMain, PqMain
from ranking.index_settings import FLAT, HNSW, IVF, KINDS, PQ
from ranking.index_snapshot import Snapshot, of_parts

ARRAYS_FILE, FAISS_FILE, MANIFEST_FILE = "items.safetensors", "items.faiss", "index.json"


def save_snapshot(snapshot: Snapshot, folder: Path) -> None:
    """Write a snapshot without delta and dead rows."""
    folder.mkdir(parents=True, exist_ok=True)
    main = snapshot.main
    vectors = np.ascontiguousarray(snapshot.main_vectors)
    tensors: Tensors = {"keys": snapshot.keys, "vectors": vectors, **main.tensors()}
    save_file(tensors, folder / ARRAYS_FILE)
    faiss_index = main.faiss_index()
    if faiss_index is not None:
        faiss.write_index(faiss_index, str(folder / FAISS_FILE))
    manifest = {
        "kind": main.kind,
        "dims": snapshot.main_vectors.shape[1],
        "items": len(snapshot.keys),
        "parameters": main.parameters(),
        "build": snapshot.report.to_json(),
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")


def load_snapshot(folder: Path, dims: int) -> Snapshot:
    """Read what `save_snapshot` wrote. Raises `InvalidRelease` when it is of another kind, width or length."""
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text())
        kind, parameters = manifest["kind"], manifest["parameters"]
        report = dict(manifest["build"])
        report["recall"] = {int(depth): value for depth, value in report["recall"].items()}
        made = BuildReport(**report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRelease(f"{path}: expected the manifest of an index, found {error!r}") from error
    if kind not in KINDS:
        raise InvalidRelease(f"{path}: kind {kind!r} is none of {', '.join(KINDS)}")
    tensors = map_tensors(folder / ARRAYS_FILE)
    try:
        main = _main(kind, folder, tensors, parameters)
        vectors = tensors["vectors"]
        found = {"dims": vectors.shape[1], "items": len(tensors["keys"]), "vectors": len(vectors)}
    except (KeyError, RuntimeError) as error:
        raise InvalidRelease(f"{folder}: expected the parts of a {kind} index, found {error!r}") from error
    said = {"dims": manifest.get("dims"), "items": manifest.get("items"), "vectors": manifest.get("items")}
    if said != found or found["dims"] != dims:
        raise InvalidRelease(f"{folder}: holds {found}, {MANIFEST_FILE} says {said}, wanted dims {dims}")
    return of_parts(main, made, vectors, tensors["keys"])


def _main(kind: str, folder: Path, tensors: Tensors, parameters: dict[str, Any]) -> Main:
    if kind == FLAT:
        return FlatMain()
    if kind == HNSW:
        return HnswMain(faiss.read_index(str(folder / FAISS_FILE)), Curve.from_json(parameters["breadth"]))
    length = float(tensors["length"][0])
    cells = Cells(tensors["centroids"], tensors["bias"], length, tensors["offsets"])
    probing = Curve.from_json(parameters["probing"])
    if kind == IVF:
        return IvfMain(cells, probing)
    assert kind == PQ, kind
    codes = faiss.read_index(str(folder / FAISS_FILE))
    return PqMain(cells, probing, codes, Curve.from_json(parameters["shortlist"]))
