"""What several tests share: the built site, a server for it, a browser."""

from __future__ import annotations

import contextlib
import functools
import http.server
import importlib.util
import os
import sys
import threading
from pathlib import Path

import pytest

# Read when huggingface_hub is imported: no test may need the Hub by accident.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TUNEWISE_SCALE", "")  # what the build has computed is found again
# Read when torch is: threads of several workers (pytest-xdist) that want the same core wait for one another in a busy loop.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
if workers > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import chromium  # noqa: E402
import hypothesis  # noqa: E402

# No test is timed, and the same commit passes or fails the same way everywhere.
hypothesis.settings.register_profile(
    "book",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("book")

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "book"))  # the book's Sphinx extensions, as jupyter-book finds them
MODEL_MODULES = {"tunewise.models.load", "tunewise.models.encoder", "small_model"}
# Whole files, classes, or tests, that take more than a second or two on a quiet machine for another reason than those.
SLOW = {
    "test_ask::test_a_newcomers_folder_is_answered_by_the_model",
    "test_ask::test_the_threshold_parts_questions_on_the_documents_from_others",
    "test_browser_model::test_a_label_of_two_tokens_is_refused",
    "test_browser_model::test_the_switch_leaves_the_file_out_of_the_site",
    "test_claims",
    "test_colab::test_the_wheel_installs_alone_and_its_light_commands_need_nothing",
    "test_company::test_rebuild_gives_the_same_bytes",
    "test_company::test_the_bundled_model_does_not_know_the_company",
    "test_comparison::test_coverage_lies_in_the_band",
    "test_experiment::test_a_run_that_was_killed_goes_on_and_ends_the_same",
    "test_experiment::test_an_adapter_is_trained_once_for_all_who_train_the_same",
    "test_experiment::test_a_recipe_is_chosen_on_held_out_pairs_and_the_trials_stand_in_the_row",
    "test_fetch",
    "test_hub",
    "test_labs::test_sphinx_builds_the_student_page_and_its_links",
    "test_labs::test_the_solution_passes_for_every_student",
    "test_labs_answers",
    "test_labs_container::test_a_submission_is_graded_in_a_container_with_every_limit",
    "test_labs_grading",
    "test_labs_sandbox::TestHostile",
    "test_live",
    "test_measure_memory",
    "test_memory::test_formula_follows_the_simulation_at_every_phase_that_counts",
    "test_memory_sim",
    "test_offline",
    "test_pieces::test_a_label_score_is_the_models",
    "test_pieces::test_the_items_needed_have_the_power_promised",
    "test_quick_start",
    "test_retrieval::test_the_handbook_gives_the_right_passage_back",
    "test_run::test_two_runs_at_once_of_the_same_are_kept_apart",
    "test_runs",
    "test_teaching_files::test_a_site_with_solutions_gets_no_files",
    "test_teaching_files::test_the_page_links_what_is_there_and_nothing_else",
    "test_teaching_files::test_what_is_made_tells_none_of_them_and_the_sources_do",
    "test_winner",
    "test_written::test_all_arms_of_answers_run_and_leave_what_is_needed",
    "test_tasks::test_rebuild_gives_the_same_groups",
    "test_whole_way",
}


def lacking(reason: str):
    """The test cannot run here: a failure where CI is set, because there it must; named as skipped elsewhere."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def load(path: Path):
    """A Python file that is no part of a package."""
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def pytest_collection_modifyitems(items):
    """Mark tests by what they ask for: the built site, a browser, or (by what their module imports) a real model or tokenizer."""
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if asked & {"site", "served"}:
            item.add_marker("site")
        if "browser" in asked:
            item.add_marker("browser")
        file = item.path.stem
        inside = (getattr(item, "originalname", ""), getattr(getattr(item, "cls", None), "__name__", ""))
        if {file, *(f"{file}::{name}" for name in inside)} & SLOW:
            item.add_marker("slow")
        if any(_needs_a_model(value) for value in vars(getattr(item, "module", None) or object).values()):
            item.add_marker("model")


def _needs_a_model(value: object) -> bool:
    """Is it, or does it come from, a module that loads real models?"""
    return bool({getattr(value, "__name__", ""), getattr(value, "__module__", "")} & MODEL_MODULES)


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site, from the sources as they are now."""
    build = load(ROOT / "book" / "build.py")
    if not build.up_to_date():
        lacking("the site is not built from the present sources: `make book` does it")
    return build.SITE


@contextlib.contextmanager
def serving(folder: Path):
    """A web server on loopback for ``folder``; yields its address, which ends in a slash."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="session")
def served(site):
    """The site's address, under a path, as on GitHub's pages: nothing may rely on standing at a server's root."""
    under = site.parent / "served"
    under.mkdir(exist_ok=True)
    link = under / "a-course"
    with contextlib.suppress(FileExistsError):  # another worker was first
        link.symlink_to(site, target_is_directory=True)
    with serving(under) as address:
        yield f"{address}a-course/"


@pytest.fixture(scope="session")
def browser():
    """Chromium, driven by playwright."""
    from playwright.sync_api import sync_playwright

    path = chromium.find()
    if not path:
        lacking("no Chrome or Chromium was found; `make test` tries to install one")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(chromium.FLAGS))
        yield started
        started.close()


@pytest.fixture
def sphinx_app():
    """The class of Sphinx's application; what one registers with docutils is taken back, or the next would be warned of it."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    with docutils_namespace():
        yield Sphinx
