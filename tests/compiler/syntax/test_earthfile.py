"""Earthfiles: text to tree, with places, and what cannot be read with a reason."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgec.diagnostic import Code, ForgeError
from forgec.source import Source
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile import parse_earthfile
from forgec.syntax.earthfile_call import Call, calls, declared_args, placed, walk


def parse(text: str) -> ast.Earthfile:
    return parse_earthfile(Source("Earthfile", text))


def only(text: str) -> ast.Command:
    """The one command of a target `t`."""
    (command,) = parse(f"t:\n    {text}\n").targets["t"].recipe
    return command


def failure(text: str) -> str:
    with pytest.raises(ForgeError) as caught:
        parse(text)
    (diagnostic,) = caught.value.diagnostics
    return f"{diagnostic.span}: {diagnostic.message}"


def test_a_file_has_version_imports_base_targets_and_functions() -> None:
    earthfile = parse(
        "VERSION --try 0.8\n"
        "IMPORT ./libs/x AS x\nIMPORT github.com/org/tools:v1\n"
        "FROM alpine:3\n\n"
        "# unit runs the tests.\n#   quickly\nunit:\n    RUN make test\n\n"
        "# not a doc\n\nempty:\n\n"
        "SETUP:\n    FUNCTION\n    RUN true\n"
    )

    assert earthfile.version == "0.8"
    assert earthfile.imports == {"x": "./libs/x", "tools": "github.com/org/tools:v1"}
    assert [type(command) for command in earthfile.base] == [ast.Import, ast.Import, ast.From]
    assert list(earthfile.targets) == ["unit", "empty"]
    assert earthfile.targets["unit"].docs == "unit runs the tests.\n  quickly"
    assert earthfile.targets["empty"].docs == ""
    assert earthfile.targets["empty"].recipe == ()
    assert list(earthfile.functions) == ["SETUP"]


def test_spans_lead_back_to_the_text() -> None:
    earthfile = parse("VERSION 0.8\n\ntest:\n    COPY +deps/lib ./\n    RUN a \\\n        b\n")
    copy, run = earthfile.targets["test"].recipe

    assert str(earthfile.targets["test"].span) == "Earthfile:3:1"
    assert str(copy.span) == "Earthfile:4:5"
    assert copy.span.text == "COPY +deps/lib ./"
    assert isinstance(copy, ast.Copy)
    assert str(copy.sources[0].span) == "Earthfile:4:10"
    assert run.span.text == "RUN a \\\n        b"


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("RUN a \\\n  b", "a   b"),
        ("RUN a \\\n  # why\n  b", "a   b"),
        ("RUN a \\ # why\n\n  b", "a   b"),
        ("RUN a # why", "a"),
        ("RUN a#b", "a#b"),
        ("RUN echo 'x # y' \"# z\"", "echo 'x # y' \"# z\""),
        ("RUN echo 'two\nlines'", "echo 'two\nlines'"),
        ('RUN echo "$(printf "%s" "a b")"', 'echo "$(printf "%s" "a b")"'),
        ("RUN echo \\' x", "echo \\' x"),
        ("RUN --no-cache -- --odd", "--odd"),
        ("RUN [ -f x ] && echo $((1<<2)) <<<word", "[ -f x ] && echo $((1<<2)) <<<word"),
    ],
)
def test_logical_lines_are_joined_and_comments_cut(text: str, joined: str) -> None:
    run = only(text)

    assert isinstance(run, ast.Run)
    assert run.text == joined


def test_flags_of_run_may_have_their_value_as_a_word() -> None:
    run = only("RUN --mount type=cache,target=/c --push --secret=A=b make it")

    assert isinstance(run, ast.Run)
    assert [(flag.name, flag.value) for flag in run.flags] == [
        ("mount", "type=cache,target=/c"),
        ("push", None),
        ("secret", "A=b"),
    ]
    assert run.text == "make it"


def test_copy_keeps_words_quotes_and_artifact_args_apart() -> None:
    copy = only("COPY --dir (+dist/lib --os=linux --name \"a b\") 'my file' $(ls -d x) ./out/")

    assert isinstance(copy, ast.Copy)
    assert [flag.name for flag in copy.flags] == ["dir"]
    assert [source.text for source in copy.sources] == ["+dist/lib", "'my file'", "$(ls -d x)"]
    assert [(arg.name, arg.value) for arg in copy.sources[0].args] == [("os", "linux"), ("name", '"a b"')]
    assert copy.destination == "./out/"


def test_build_and_from_take_flags_before_and_args_behind() -> None:
    build = only("BUILD --platform linux/arm64 ./x+dist --os=linux --name value")
    base = only("FROM +deps --n=1")

    assert isinstance(build, ast.Build)
    assert [(flag.name, flag.value) for flag in build.flags] == [("platform", "linux/arm64")]
    assert build.target.text == "./x+dist"
    assert [(arg.name, arg.value) for arg in build.target.args] == [("os", "linux"), ("name", "value")]
    assert isinstance(base, ast.From)
    assert (base.base.text, base.base.args[0].value) == ("+deps", "1")


@pytest.mark.parametrize(
    ("text", "name", "default", "required"),
    [
        ("ARG a", "a", None, False),
        ("ARG a=", "a", "", False),
        ("ARG a = b c", "a", "b c", False),
        ("ARG --required a", "a", None, True),
        ('ARG a="x=y"', "a", '"x=y"', False),
    ],
)
def test_args_tell_no_default_from_an_empty_one(text: str, name: str, default: str | None, required: bool) -> None:
    arg = only(text)

    assert isinstance(arg, ast.Arg)
    assert (arg.name, arg.default, arg.required) == (name, default, required)


@pytest.mark.parametrize(
    ("text", "keyword", "value"),
    [
        ("ENV A=b c", "ENV", "b c"),
        ("ENV A b", "ENV", "b"),
        ("LET A=$(x y)", "LET", "$(x y)"),
        ("SET A = 1", "SET", "1"),
    ],
)
def test_assignments_take_the_rest_of_the_line(text: str, keyword: str, value: str) -> None:
    assign = only(text)

    assert isinstance(assign, ast.Assign)
    assert (assign.keyword, assign.name, assign.value) == (keyword, "A", value)


def test_save_artifact_has_a_destination_and_a_local_path() -> None:
    save = only("SAVE ARTIFACT --keep-ts out /dist/ AS LOCAL ./build")
    plain = only("SAVE ARTIFACT out")

    assert isinstance(save, ast.SaveArtifact)
    assert (save.source, save.destination, save.local) == ("out", "/dist/", "./build")
    assert isinstance(plain, ast.SaveArtifact)
    assert (plain.destination, plain.local) == (None, None)


def test_blocks_nest_and_walk_visits_every_command() -> None:
    earthfile = parse(
        "t:\n  IF [ a ]\n    RUN 1\n  ELSE IF [ b ]\n    FOR --sep , x IN a,b\n      RUN 2\n    END\n  ELSE\n    WAIT\n"
        "      RUN 3\n    END\n  END\n  TRY\n    RUN 4\n  FINALLY\n    RUN 5\n  END\n"
        "  WITH DOCKER --load=+image\n    RUN 6\n  END\n"
    )
    recipe = earthfile.targets["t"].recipe

    assert [command.text for command in walk(recipe) if isinstance(command, ast.Run)] == list("123456")
    condition, attempt, docker = recipe
    assert isinstance(condition, ast.If)
    assert [branch.condition for branch in condition.branches] == ["[ a ]", "[ b ]"]
    loop = condition.branches[1].body[0]
    assert isinstance(loop, ast.For)
    assert (loop.name, loop.items, loop.flags[0].value) == ("x", "a,b", ",")
    assert isinstance(attempt, ast.Try)
    assert [len(part) for part in (attempt.body, attempt.caught, attempt.finally_)] == [1, 0, 1]
    assert isinstance(docker, ast.WithDocker)
    assert [load.text for load in docker.loads] == ["+image"]


def test_commands_that_nobody_here_executes_are_carried_along() -> None:
    other = only('HEALTHCHECK --interval=1s CMD ["x"]')

    assert isinstance(other, ast.Other)
    assert (other.keyword, other.text) == ("HEALTHCHECK", '--interval=1s CMD ["x"]')


def test_declared_args_include_those_inside_blocks() -> None:
    earthfile = parse("ARG --global g=1\nt:\n  ARG a\n  IF true\n    ARG b=2\n  END\n")

    assert list(declared_args(earthfile.base)) == ["g"]
    assert list(declared_args(earthfile.targets["t"].recipe)) == ["a", "b"]


def called(recipe: ast.Recipe) -> list[Call]:
    return [call for command, certain in placed(recipe) for call in calls(command, certain=certain)]


def test_calls_name_project_target_and_artifact() -> None:
    target = parse(
        "t:\n  FROM alpine:3\n  COPY c++/x a\\+b +dist/out ./\n  BUILD ../x+all\n  BUILD ./$p+all\n  BUILD ./*+all\n"
        "  COPY (lib+dist/f --a=1) ./\n  DO github.com/org/fns+SETUP\n  BUILD $t\n  FROM DOCKERFILE -f +df/x ctx\n"
    ).targets["t"]

    found = [call.reference for call in called(target.recipe)]

    assert [(r.project, r.name, r.path, r.function, r.dynamic) for r in found] == [
        ("", "dist", "out", False, False),
        ("../x", "all", None, False, False),
        ("./$p", "all", None, False, True),
        ("./*", "all", None, False, True),
        ("lib", "dist", "f", False, False),
        ("github.com/org/fns", "SETUP", None, True, False),
        ("$t", "", None, False, True),
        ("", "df", "x", False, False),
    ]
    assert found[1].target == "../x+all"


@pytest.mark.parametrize(
    "load",
    [
        "--load=+image",
        "--load app:1=+image",
        "--load=app=(+image --a=1)",
        '--load "app=(+image --a=1)"',
        "--platform=x --load (+image --a=1)",
    ],
)
def test_images_that_docker_loads_are_calls(load: str) -> None:
    command = parse(f"t:\n  WITH DOCKER --pull alpine:3 {load}\n    RUN x\n  END\n").targets["t"].recipe[0]

    (call,) = calls(command)

    assert call.reference.target == "+image"
    assert [(arg.name, arg.value) for arg in call.args] == ([("a", "1")] if "--a" in load else [])


def test_calls_tell_what_they_pass_and_whether_they_always_happen() -> None:
    target = parse(
        "t:\n  BUILD --build-arg a=1 --pass-args +x --b=2 $more\n  IF true\n    BUILD +y\n  END\n"
        "  TRY\n    COPY (+z/f --c 3) .\n  CATCH\n    BUILD +w\n  END\n  FOR i IN a b\n    BUILD +$i\n  END\n"
    ).targets["t"]

    found = called(target.recipe)

    assert [(c.reference.name, c.certain, c.pass_args, [arg.name for arg in c.args]) for c in found] == [
        ("x", True, True, ["b", "$more", "a"]),
        ("y", False, False, []),
        ("z", True, False, ["c"]),
        ("w", False, False, []),
        ("$i", False, False, []),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t:\n  RNU x\n", 'Earthfile:2:3: "RNU" is no Earthfile command'),
        ("t:\n  run x\n", 'Earthfile:2:3: "run" is no Earthfile command'),
        ("a:\n  b:\n", 'Earthfile:2:3: "b:" is no Earthfile command'),
        ("t:\n  RUN echo 'x\n", "Earthfile:2:12: the quote ' is never closed"),
        ("t:\n  RUN cat <<EOF\nx\nEOF\n", "Earthfile:2:11: here-documents are not supported in an Earthfile"),
        ("t:\n  IF true\n    RUN x\n", "Earthfile:2:3: IF has no END"),
        ("t:\n  WAIT\n  END\n  WITH  DOCKER\nu:\n", "Earthfile:4:3: WITH DOCKER has no END"),
        ("t:\nRUN x\n", "Earthfile:2:1: RUN stands at the margin: the commands of a target are indented"),
        ("t:\n  IF true\nEND\n", "Earthfile:3:1: END stands at the margin: the commands of a target are indented"),
        ("  FROM x\n", "Earthfile:1:3: FROM is indented: commands before the first target stand at the margin"),
        ("t:\n  END\n", "Earthfile:2:3: END closes no block that is open here"),
        ("t:\n  COPY x\n", "Earthfile:2:3: COPY takes what to copy, and where to"),
        ("t:\n  WORKDIR\n", "Earthfile:2:10: the command ends too early: a word is missing"),
        ("t:\n  BUILD --platform=x\n", "Earthfile:2:3: BUILD names no target"),
        ("t:\n  LET a\n", "Earthfile:2:8: the command ends too early: = is missing"),
        ("t:\n  FOR x a b\n", "Earthfile:2:7: 'x a b' does not belong here"),
        ("t:\n  ARG --shared a\n", "Earthfile:2:7: ARG has no flag --shared"),
        ("t:\n  COPY (x y) .\n", "Earthfile:2:8: (x y) is not of the form (+target/path --name=value)"),
        ("RUN x\nVERSION 0.8\n", "Earthfile:2:1: VERSION must be the first command, once"),
        ("t:\nt:\n", 'Earthfile:2:1: "t" is defined twice'),
        ("t :\n", "Earthfile:1:1: no space may stand before the colon of t"),
        ("VERSION 08\n", "Earthfile:1:9: '08' is no version of the language (write VERSION 0.8)"),
        ("base:\n", 'Earthfile:1:1: "base" is the name of the commands before the first target'),
    ],
)
def test_mistakes_are_reported_with_place_and_reason(text: str, message: str) -> None:
    assert failure(text) == message


def test_the_mistakes_of_all_lines_are_told() -> None:
    with pytest.raises(ForgeError) as caught:
        parse(
            "VERSION\na:\n  RNU x\n  RNU y\nb:\n  RUN 'b:\n  c:\n'\nc:\n  IF x\nd:\nRUN x\ne:\n  RUN '\nf:\n  RNU z\n"
        )

    assert [str(diagnostic.span) for diagnostic in caught.value.diagnostics] == [
        "Earthfile:1:8",
        "Earthfile:3:3",
        "Earthfile:4:3",
        "Earthfile:10:3",
        "Earthfile:12:1",
    ]


@pytest.mark.parametrize(
    ("recipe", "lines"),
    [
        ("FOO\n  BAR x", [2, 3]),
        ("FI x\n  FOO\n  END\n  BAR", [2, 3, 5]),  # what END would close is told of already
        ("IF x\n  FOO\n  ENDD\n  BAR", [3, 4, 5]),
        ("IF\n  RUN x\n  END\n  COPY x", [2, 5]),
        ("IF x\n  RUN x", [2]),
        ("RUN x\nRUN y\nRUN z", [3]),
    ],
)
def test_what_may_follow_from_a_mistake_is_not_told(recipe: str, lines: list[int]) -> None:
    with pytest.raises(ForgeError) as caught:
        parse(f"t:\n  {recipe}\nu:\n  RUN x\n")

    assert [each.span.position.line for each in caught.value.diagnostics if each.span] == lines


def test_of_a_text_that_is_no_earthfile_a_few_mistakes_are_told() -> None:
    with pytest.raises(ForgeError) as caught:
        parse("".join(f"key{number}:\n  - item\n" for number in range(100)))

    assert len(caught.value.diagnostics) == 20


def test_a_misspelt_command_is_answered_with_the_likely_one() -> None:
    with pytest.raises(ForgeError) as caught:
        parse("t:\n  WORDKIR x\n")

    assert caught.value.diagnostics[0].help == 'did you mean "WORKDIR"?'


def test_nesting_and_size_are_bounded() -> None:
    deep = "t:\n" + " IF true\n" * 60 + " END\n" * 60

    with pytest.raises(ForgeError) as nested:
        parse(deep)
    with pytest.raises(ForgeError) as large:
        parse("# " + "x" * 2**18)

    assert nested.value.diagnostics[0].code is Code.TOO_DEEP
    assert large.value.diagnostics[0].code is Code.TOO_DEEP


@pytest.mark.parametrize(
    "unit",
    [
        "# c\n",
        "RUN ((1<<x)) <<y \\\n",
        "\\ \n",
        "t: #\n",
        "'' ",
        "$(",
        "RUN a\n",
        "COPY (",
        'RUN "$(',
        "\\\n#\n",
        "x\n\n",
        "<<a",
    ],
)
def test_hostile_repetition_takes_linear_time(unit: str) -> None:
    text = "t:\n RUN " + unit * (250_000 // len(unit))
    began = time.process_time()

    with contextlib.suppress(ForgeError):
        parse(text)

    assert time.process_time() - began < 20, "quadratic time would be minutes"


def test_windows_line_ends_change_nothing() -> None:
    text = "VERSION 0.8\n# doc\nt:\n  RUN a \\\n    b\n  COPY x y\n"

    unix, windows = parse(text), parse(text.replace("\n", "\r\n"))

    assert windows.targets["t"].docs == unix.targets["t"].docs
    assert [str(command.span) for command in windows.targets["t"].recipe] == ["Earthfile:4:3", "Earthfile:6:3"]


_LINES = st.sampled_from(
    [
        *("t:", "u:", "F:", "RUN a", "RUN 'x", "COPY a b", "COPY (+a/b --c=d) e", "IF x", "ELSE IF y", "ELSE", "END"),
        *("FOR x IN y", "ARG a=$(b", "ENV a b", "SAVE ARTIFACT a AS LOCAL b", "TRY", "FINALLY", "# c", "", "\\", '"'),
    ]
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["", "  ", "\t"]), _LINES, st.sampled_from(["\n", " \\\n", "\r\n"])), max_size=12
    )
)
def test_any_text_gives_a_tree_or_a_diagnostic_inside_the_file(parts: list[tuple[str, str, str]]) -> None:
    text = "".join(indent + line + end for indent, line, end in parts)

    try:
        earthfile = parse(text)
    except ForgeError as error:
        span = error.diagnostics[0].span
        assert span
        assert 0 <= span.start <= span.end <= len(text)
    else:
        for target in earthfile.targets.values():
            assert all(command.span.text.strip() for command in walk(target.recipe))


@given(st.text(alphabet="aAR:+ \t\n\\'\"$(){}#-=/*FROMNUCPYIEDL", max_size=60))
def test_noise_never_raises_anything_but_a_diagnostic(text: str) -> None:
    with contextlib.suppress(ForgeError):
        earthfile = parse(text)
        for recipe in (earthfile.base, *(target.recipe for target in earthfile.targets.values())):
            assert all(call.reference.name or call.reference.project for call in called(recipe))
