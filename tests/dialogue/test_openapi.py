"""Operations of OpenAPI files as actions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conversation import SHOP, ManualClock
from service import Service, told

from agent.dialogue.actioncontext import ActionContext, ActionFailed
from agent.dialogue.actions import open_actions
from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.http_action import HttpAction, Request
from agent.dialogue.loader import DomainError, load_domain
from agent.dialogue.openapi import OpenApiError, argument_name, read_operation

NUMBER = {"type": "string", "pattern": "^\\d{5}$"}
FILE: dict[str, Any] = {
    "openapi": "3.0.3",
    "servers": [{"url": "https://shop.example/v1"}],
    "paths": {
        "/orders/{order-id}": {
            "parameters": [{"$ref": "#/components/parameters/Order"}],
            "get": {
                "operationId": "getOrder",
                "parameters": [
                    {"name": "lang", "in": "query", "schema": {"enum": ["en", "zh"]}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}},
                    "404": {"description": "none"},
                },
            },
            "delete": {"operationId": "cancelOrder", "responses": {"204": {"description": "gone"}}},
        },
        "/returns": {
            "post": {
                "operationId": "createReturn",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Return"}}},
                },
                "responses": {"201": {"content": {"application/json": {"schema": {"type": "object"}}}}},
            }
        },
    },
    "components": {
        "parameters": {"Order": {"name": "order-id", "in": "path", "required": True, "schema": NUMBER}},
        "schemas": {
            "Order": {
                "type": "object",
                "required": ["status"],
                "properties": {
                    "status": {"enum": ["shipped", "delivered"]},
                    "eta": {"type": "string", "format": "date", "nullable": True},
                },
            },
            "Return": {
                "type": "object",
                "required": ["order", "id"],
                "properties": {
                    "id": {"type": "integer", "readOnly": True},
                    "order": NUMBER,
                    "reason": {"type": "string", "maxLength": 20},
                    "lines": {"type": "array", "items": {"type": "integer"}},
                },
            },
        },
    },
}


def operation(folder: Path, name: str, document: Any = FILE, **more: Any) -> Request:
    (folder / "api.json").write_text(json.dumps(document))
    api = more.pop("api", {})
    spec = ActionSpec.model_validate({"openapi": {"file": "api.json", "operation": name, **api}, **more})
    assert spec.openapi is not None
    return read_operation(spec, spec.openapi, folder, {"Authorization": "Bearer t"})


def context() -> ActionContext:
    return ActionContext("call-1", "key-1", ManualClock())


async def test_an_operation_is_called_as_the_file_says(tmp_path: Path) -> None:
    order = {"status": "shipped", "eta": None, "more": 1}
    async with Service(told(order), told({"status": "lost"}), told({}, 404)).running() as service:
        more: dict[str, Any] = {"api": {"server": service.url + "/v2/", "not_found": [404]}, "allow_private": True}
        act = HttpAction("act", operation(tmp_path, "getOrder", **more), ManualClock(), 2.0, True)
        assert await act({"order_id": "42718", "lang": "zh"}, context()) == {"found": True, **order}
        with pytest.raises(ActionFailed, match="status is none of shipped, delivered"):
            await act({"order_id": "42718"}, context())
        assert await act({"order_id": "42718", "X_Trace": "a"}, context()) == {"found": False}
        for arguments in ({"order_id": "7"}, {}, {"order_id": "42718", "lang": "fr"}, {"order-id": "42718"}):
            with pytest.raises(ActionFailed) as caught:
                await act(arguments, context())
            assert caught.value.code == "bad_arguments"
        with pytest.raises(ActionFailed, match="X-Trace"):
            await act({"order_id": "42718", "X_Trace": "a\r\nEvil: yes"}, context())
    assert [asked.path for asked in service.asked] == [
        "/v2/orders/42718?lang=zh",
        "/v2/orders/42718",
        "/v2/orders/42718",
    ]
    assert service.asked[0].headers["authorization"] == "Bearer t"
    assert service.asked[2].headers["x-trace"] == "a"


async def test_a_body_is_made_of_arguments(tmp_path: Path) -> None:
    async with Service(told({"reference": "R1"}, 201)).running() as service:
        more: dict[str, Any] = {"api": {"server": service.url}, "allow_private": True, "side_effects": True}
        request = operation(tmp_path, "createReturn", **more)
        act = HttpAction("act", request, ManualClock(), 2.0, True)
        assert await act({"order": "42718", "lines": [1, 2], "reason": None}, context()) == {"reference": "R1"}
        with pytest.raises(ActionFailed, match="reason has 30 characters"):
            await act({"order": "42718", "reason": "x" * 30}, context())
    assert service.asked[0].json == {"order": "42718", "lines": [1, 2]}
    assert service.asked[0].headers["idempotency-key"] == "key-1"
    assert {name for name, value in request.parameters.items() if not value.optional} == {"order"}


def test_yaml_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(yaml.safe_dump(FILE))
    spec = ActionSpec.model_validate({"openapi": {"file": "api.yaml", "operation": "getOrder"}})
    assert spec.openapi is not None
    request = read_operation(spec, spec.openapi, tmp_path, {})
    assert (request.method, request.url, request.ok) == ("GET", "https://shop.example/v1/orders/{order_id}", (200,))


def changed(change: Callable[[Any], None]) -> Any:
    document = copy.deepcopy(FILE)
    change(document)
    return document


def get(document: Any) -> Any:
    return document["paths"]["/orders/{order-id}"]["get"]


def with_parameter(parameter: dict[str, Any]) -> Any:
    return changed(lambda document: get(document)["parameters"].append(parameter))


@pytest.mark.parametrize(
    ("name", "document", "problem"),
    [
        ("getOrders", FILE, "has no operation 'getOrders'; it has cancelOrder, createReturn, getOrder"),
        ("cancelOrder", FILE, "add 'side_effects: true'"),
        ("getOrder", {"swagger": "2.0"}, "no OpenAPI 3 file"),
        ("getOrder", [], "no OpenAPI 3 file"),
        ("getOrder", changed(lambda d: d.update(servers=[])), "give 'server'"),
        ("getOrder", changed(lambda d: d.update(servers=[{"url": "http://shop.example"}])), "must use https"),
        ("getOrder", changed(lambda d: d.update(servers=[{"url": "https://{zone}.example"}])), "to be filled in"),
        ("getOrder", changed(lambda d: d["components"]["parameters"].clear()), "names nothing"),
        (
            "getOrder",
            with_parameter({"name": "s", "in": "cookie", "required": True, "schema": {}}),
            "goes into a cookie",
        ),
        (
            "getOrder",
            with_parameter({"name": "f", "in": "query", "style": "deepObject", "schema": {}}),
            "not supported",
        ),
        (
            "getOrder",
            with_parameter({"name": "q", "in": "query", "schema": {"$ref": "a.yaml#/b"}}),
            "leads outside the file",
        ),
        ("getOrder", changed(lambda d: get(d)["responses"].pop("200")), "no answer has a status of 2xx"),
        (
            "getOrder",
            changed(lambda d: get(d)["responses"]["200"].update(content={"text/html": {}})),
            "answer 200 is text/html",
        ),
        (
            "createReturn",
            changed(lambda d: d["paths"]["/returns"]["post"]["requestBody"].update(content={"text/xml": {}})),
            "the body is text/xml",
        ),
        (
            "createReturn",
            changed(lambda d: d["components"]["schemas"].update(Return={"$ref": "#/components/schemas/Return"})),
            "circle",
        ),
        ("getOrder", changed(lambda d: get(d).update(parameters={"a": 1})), "a parameter cannot be read"),
        ("getOrder", changed(lambda d: d.update(servers=["https://shop.example"])), "not written as OpenAPI 3"),
        ("getOrder", changed(lambda d: get(d).update(responses=[200])), "not written as OpenAPI 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(tmp_path: Path, name: str, document: Any, problem: str) -> None:
    with pytest.raises(OpenApiError, match=r"(?s)" + problem.replace("{", r"\{")):
        operation(tmp_path, name, document)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    spec = ActionSpec.model_validate({"openapi": {"file": "api.json", "operation": "getOrder"}})
    assert spec.openapi is not None
    for text, problem in ((None, "cannot be read"), ("{", "not JSON"), ("[" * 100_000, "not JSON")):
        if text is not None:
            (tmp_path / "api.json").write_text(text)
        with pytest.raises(OpenApiError, match=problem):
            read_operation(spec, spec.openapi, tmp_path, {})


@pytest.mark.parametrize(
    ("name", "argument"), [("order-id", "order_id"), ("2nd", "_2nd"), ("a.b[c]", "a_b_c_"), ("ok", "ok")]
)
def test_names_of_arguments(name: str, argument: str) -> None:
    assert argument_name(name) == argument


async def test_a_domain_with_actions_that_cannot_work_does_not_open(tmp_path: Path) -> None:
    domain = load_domain(SHOP)
    actions = {
        "gone": {"openapi": {"file": "none.yaml", "operation": "x"}},
        "unset": {"http": {"url": "https://a.example", "headers": {"Authorization": "env:NO_SUCH_VARIABLE"}}},
        "secret": {"http": {"url": "https://a.example/{a}"}, "sensitive": ["b"]},
        "missing": {"python": "agent.nothing:here"},
        "wrong": {"python": "agent.dialogue.text:render"},
    }
    specs = {name: ActionSpec.model_validate(spec) for name, spec in actions.items()}
    lines = {f"action.{name}": f"{tmp_path}/domain.yaml:{n}" for n, name in enumerate(actions, 1)}
    manner = domain.manner.model_copy(update={"actions": specs, "database": None})
    bad = replace(domain, manner=manner, lines=lines, flows={})
    with pytest.raises(DomainError) as caught:
        await open_actions(bad, ManualClock())
    problems = caught.value.problems
    assert [problem.split(": ")[0] for problem in problems] == [f"{tmp_path}/domain.yaml:{n}" for n in range(1, 6)]
    for problem, why in zip(
        problems,
        ("none.yaml cannot be read", "NO_SUCH_VARIABLE", "argument 'b'", "cannot be used", "is not `async"),
        strict=True,
    ):
        assert why in problem
