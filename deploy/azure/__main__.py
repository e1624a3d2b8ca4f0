"""chatlab by Azure's reference architecture for chatbots, as one stack: `pulumi up`.

Nothing but the gateway can be reached from outside, nothing has a key or a password, and each identity has
just its roles; tests/test_deploy_azure.py holds that. docs/azure.md says what comes before and after.
"""

from __future__ import annotations

import pulumi
from architecture.cluster import cluster, gateway
from architecture.data import blobs, database, databricks, models, registry, vault
from architecture.identity import application, may_act_as, workload_identity
from architecture.monitoring import monitoring
from architecture.network import network
from pulumi_azure_native.resources import ResourceGroup

settings = pulumi.Config("chatlab")
host, tenant, operators = (settings.require(name) for name in ("host", "tenant", "operators"))

group = ResourceGroup("chatlab")
net = network(group)
identity = workload_identity(group)

watched = monitoring(group, identity)
secrets = vault(group, net, identity, tenant)
files = blobs(group, net, identity)
postgres = database(group, net, identity, tenant, operators)
openai = models(
    group,
    net,
    identity,
    settings.get("model") or "gpt-5-mini",
    settings.get("model-version") or "2025-08-07",
    settings.get_int("tokens-a-minute") or 100,
)
workspace = databricks(group, net)
images = registry(group, net)

kubernetes = cluster(group, net, images, watched, tenant, operators)
may_act_as(group, identity, kubernetes.oidc_issuer_profile.issuer_url)
frontend = gateway(group, net, kubernetes)
people = application(host)

# What deploy/kubernetes/overlays/azure wants in the place of its capitals.
pulumi.export("CLIENT-ID-OF-THE-MANAGED-IDENTITY", identity.client_id)
pulumi.export("REGISTRY", images.name)
pulumi.export("STORAGEACCOUNT", files.name)
pulumi.export("VAULT", secrets.name)
pulumi.export("NAME", openai.name)
pulumi.export("TENANT-ID", tenant)
pulumi.export("OIDC_CLIENT_ID", people.client_id)
pulumi.export("POSTGRES", postgres.fully_qualified_domain_name)
pulumi.export("DATABRICKS", workspace.workspace_url)
pulumi.export("GATEWAY", frontend.fqdn)
