"""What deploy/azure promises: nothing public but the gateway, no key and no password, each identity just its
roles. The stack is built with Pulumi's mocks, which show what would be asked for; nothing of Azure is asked.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatlab.config.auth import Oidc
from chatlab.config.models import Ui
from tests.heavy import missing

ROOT = Path(__file__).resolve().parent.parent
AZURE = ROOT / "deploy" / "azure"
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAY = KUBERNETES / "overlays" / "azure"
ROLES = {
    "Cognitive Services OpenAI User": "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d000e7",
    "AppGw for Containers Configuration Manager": "fbc52c3f-28ad-4303-a892-8a056630b8f1",
}

pytestmark = pytest.mark.heavy

# In a process of its own: it sets Pulumi's mocks for good.
BUILD = """
import asyncio, json, runpy, sys
import pulumi
made, calls = [], []

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        made.append({"type": args.typ, "name": args.name, "inputs": args.inputs})
        place = f"/subscriptions/s/{args.typ}/{args.name}"
        known = {"name": args.inputs.get("name", args.name), "principalId": f"principal-of-{args.name}",
                 "clientId": f"client-of-{args.name}",
                 "identityProfile": {"kubeletidentity": {"objectId": "principal-of-kubelet"}},
                 "oidcIssuerProfile": {"enabled": True, "issuerURL": "https://issuer.example"}}
        if "identity" in args.inputs:  # a list of identities where one asks for them, and none in the answer
            known["identity"] = {"type": "UserAssigned"}
        return place, {**args.inputs, **known}

    def call(self, args):
        calls.append(args.token)
        return {"subscriptionId": "s", "tenantId": "t", "clientId": "c", "objectId": "o"}

pulumi.runtime.set_mocks(Mocks(), project="chatlab", stack="prod", preview=False)
settings = {"host": "chat.example.org", "tenant": "t-1", "operators": "g-1"}
pulumi.runtime.set_all_config({f"chatlab:{name}": value for name, value in settings.items()})
exported = {}
pulumi.export = lambda name, value: exported.__setitem__(name, value)

@pulumi.runtime.test
def build():
    runpy.run_path("__main__.py")
build()
print(json.dumps({"made": made, "exported": sorted(exported), "calls": sorted(set(calls))}))
"""


@cache
def stack() -> Any:
    """Return what the stack asks for: `made`, each with type, name and inputs, and the names `exported`."""
    if find_spec("pulumi_azure_native") is None:
        missing("pulumi-azure-native")
    env = {**os.environ, "PYTHONPATH": str(AZURE)}
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=AZURE, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def of(kind: str) -> list[Any]:
    """Return the inputs of the resources of a kind, which is the last part of its type."""
    return [one["inputs"] for one in stack()["made"] if one["type"].rpartition(":")[2] == kind]


def walk(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all that stands in inputs, with its place."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from walk(inner, f"{at}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, at)
    else:
        yield at, value


def test_nothing_can_be_reached_from_outside_but_the_gateway() -> None:
    said = [
        *(one["properties"]["publicNetworkAccess"] for one in (*of("Vault"), *of("Account"))),
        *(one["publicNetworkAccess"] for one in (*of("StorageAccount"), *of("Registry"))),
        *(one["publicNetworkAccess"] for one in of("Workspace") if "parameters" in one),
        *(one["network"]["publicNetworkAccess"] for one in of("Server")),
    ]
    assert said == ["Disabled"] * 6
    assert {one["publicAccess"] for one in of("BlobContainer")} == {"None"}
    (cluster,) = of("ManagedCluster")
    assert cluster["apiServerAccessProfile"] == {
        "enablePrivateCluster": True,
        "enablePrivateClusterPublicFQDN": False,
    }
    assert [pool["enableNodePublicIP"] for pool in cluster["agentPoolProfiles"]] == [False]
    # The one public address is that of the way out, on which nothing listens.
    (way_out,), (address,) = of("NatGateway"), of("PublicIPAddress")
    assert [one["id"] for one in way_out["publicIpAddresses"]] == [place("PublicIPAddress", "way-out")]
    assert len(of("FrontendsInterface")) == 1 and "dnsSettings" not in address


def test_each_service_has_its_address_and_its_name_in_the_network() -> None:
    zones = {one["privateZoneName"] for one in of("PrivateZone")}
    assert zones == {
        "privatelink.vaultcore.azure.net",
        "privatelink.blob.core.windows.net",
        "privatelink.dfs.core.windows.net",
        "privatelink.postgres.database.azure.com",
        "privatelink.openai.azure.com",
        "privatelink.azurecr.io",
        "privatelink.azuredatabricks.net",
    }
    reached = {
        (one["privateLinkServiceConnections"][0]["privateLinkServiceId"].split(":")[-1])
        for one in of("PrivateEndpoint")
    }
    services = ("Vault", "StorageAccount", "Server", "Account", "Registry")
    names = {"Account": "models"}
    assert reached == {f"{one}/{names.get(one, 'chatlab')}" for one in services} | {"Workspace/chatlab"}
    assert len(of("PrivateDnsZoneGroup")) == len(of("PrivateEndpoint")) == len(of("VirtualNetworkLink")) == 7
    (net,) = of("VirtualNetwork")
    whole = ipaddress.ip_network(net["addressSpace"]["addressPrefixes"][0])
    subnets = [ipaddress.ip_network(one["addressPrefix"]) for one in of("Subnet")]
    assert all(one.subnet_of(whole) for one in subnets)  # type: ignore[arg-type]
    assert not any(a.overlaps(b) for a, b in combinations(subnets, 2))
    assert all(one["defaultOutboundAccess"] is False for one in of("Subnet"))
    (proxies,) = overlay("chatlab.yaml")["server"]["trusted_proxies"]
    assert whole.subnet_of(ipaddress.ip_network(proxies))  # type: ignore[arg-type]


def test_there_is_no_key_and_no_password() -> None:
    kinds = {one["type"].rpartition(":")[2] for one in stack()["made"]}
    assert not [kind for kind in kinds if re.search("password|secret|key$", kind, re.IGNORECASE)]
    named = re.compile(r"password|secret|key|connectionstring|sas", re.IGNORECASE)
    said = {at: value for one in stack()["made"] for at, value in walk(one["inputs"]) if named.search(at)}
    assert said == {".authConfig.passwordAuth": "Disabled", ".allowSharedKeyAccess": False}
    assert [one["properties"]["disableLocalAuth"] for one in of("Account")] == [True]
    assert [one["adminUserEnabled"] for one in of("Registry")] == [False]
    assert [one["disableLocalAccounts"] for one in of("ManagedCluster")] == [True]
    assert [one["properties"]["enableRbacAuthorization"] for one in of("Vault")] == [True]
    assert [one["features"]["disableLocalAuth"] for one in of("Workspace") if "features" in one] == [True]
    assert not [name for name in stack()["exported"] if named.search(name)]


def test_each_identity_has_just_its_roles() -> None:
    names = {number: name for name, number in ROLES.items()}
    granted = {
        (
            one["principalId"].removeprefix("principal-of-"),
            names[one["roleDefinitionId"].rpartition("/")[2]],
            one["scope"].rpartition(":")[2],
        )
        for one in of("RoleAssignment")
    }
    assert granted == {
        ("chatlab", "Key Vault Secrets User", "Vault/chatlab"),
        ("chatlab", "Storage Blob Data Contributor", "BlobContainer/chatlab"),
        ("chatlab", "Storage Blob Data Contributor", "BlobContainer/exports"),
        ("chatlab", "Cognitive Services OpenAI User", "Account/models"),
        ("chatlab", "Monitoring Metrics Publisher", "Component/chatlab"),
        ("kubelet", "AcrPull", "Registry/chatlab"),
        ("cluster", "Network Contributor", "Subnet/nodes"),
        ("alb-controller", "Network Contributor", "Subnet/gateway"),
        (
            "alb-controller",
            "AppGw for Containers Configuration Manager",
            "TrafficControllerInterface/gateway",
        ),
    }
    admins = {(one["principalName"], one["objectId"]) for one in of("AdministratorsMicrosoftEntra")}
    assert admins == {("operators", "g-1"), ("chatlab", "principal-of-chatlab")}


def test_the_manifests_run_as_the_identity_and_get_what_they_want_of_the_stack() -> None:
    subjects = {one["subject"]: one["issuer"] for one in of("FederatedIdentityCredential")}
    manifest = yaml.safe_load((KUBERNETES / "base" / "service-account.yaml").read_text("utf-8"))
    namespace = overlay("kustomization.yaml")["namespace"]
    account = f"system:serviceaccount:{namespace}:{manifest['metadata']['name']}"
    assert subjects[account] == "https://issuer.example" and len(subjects) == 2
    wanted = "".join(file.read_text("utf-8") for file in OVERLAY.glob("*.yaml"))
    exported = set(stack()["exported"])
    capitals = {
        "CLIENT-ID-OF-THE-MANAGED-IDENTITY",
        "REGISTRY",
        "STORAGEACCOUNT",
        "VAULT",
        "NAME",
        "TENANT-ID",
    }
    assert capitals <= exported and all(name in wanted for name in capitals)
    files = overlay("chatlab.yaml")["storage"]["files"]
    assert files.removeprefix("abfs://").partition("/")[0] in {
        one["containerName"] for one in of("BlobContainer")
    }


def test_the_firewall_lets_prompts_files_and_streams_through_and_looks_at_the_rest() -> None:
    (firewall,) = of("WebApplicationFirewallPolicy")
    settings = firewall["policySettings"]
    assert settings["mode"] == "Prevention" and settings["requestBodyCheck"]
    assert settings["fileUploadLimitInMb"] >= Ui().max_file_mb
    assert settings["maxRequestBodySizeInKb"] >= 1024 * settings["fileUploadLimitInMb"]
    (left_out,) = firewall["managedRules"]["exclusions"]
    assert left_out["matchVariable"] == "RequestArgNames"
    (whole,) = [
        one["ruleSetType"]
        for one in firewall["managedRules"]["managedRuleSets"]
        if one["ruleSetType"] == left_out["exclusionManagedRuleSets"][0]["ruleSetType"]
    ]
    assert whole == "Microsoft_DefaultRuleSet"
    (attached,) = of("SecurityPoliciesInterface")
    assert attached["wafPolicy"]["id"] == place("WebApplicationFirewallPolicy", "firewall")


def test_people_sign_in_at_an_application_that_has_no_secret_and_lets_in_who_is_assigned() -> None:
    (people,) = of("Application")
    path = Oidc.model_fields["redirect_path"].default
    assert people["publicClient"]["redirectUris"] == [f"https://chat.example.org{path}"]
    assert people["signInAudience"] == "AzureADMyOrg" and "web" not in people
    assert [one["appRoleAssignmentRequired"] for one in of("ServicePrincipal")] == [True]


def place(kind: str, name: str) -> str:
    """Return the id of a resource, as the mocks make it."""
    (found,) = (
        one for one in stack()["made"] if (one["type"].rpartition(":")[2], one["name"]) == (kind, name)
    )
    return f"/subscriptions/s/{found['type']}/{name}"


def overlay(file: str) -> Any:
    return yaml.safe_load((OVERLAY / file).read_text("utf-8"))
