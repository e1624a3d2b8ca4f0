"""What chatlab keeps, and what it asks: each service takes identities alone, within the network alone."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import (
    authorization,
    cognitiveservices,
    containerregistry,
    dbforpostgresql,
    keyvault,
    managedidentity,
    storage,
)
from pulumi_azure_native import (
    databricks as dbx,
)
from pulumi_azure_native.resources import ResourceGroup

from architecture.identity import grant
from architecture.network import Network

Identity = managedidentity.UserAssignedIdentity


def vault(group: ResourceGroup, net: Network, identity: Identity, tenant: str) -> keyvault.Vault:
    """Make the vault, of which chatlab reads the key of its sessions."""
    made = keyvault.Vault(
        "chatlab",
        resource_group_name=group.name,
        properties=keyvault.VaultPropertiesArgs(
            tenant_id=tenant,
            sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
            enable_rbac_authorization=True,
            enable_purge_protection=True,
            public_network_access="Disabled",
        ),
    )
    net.endpoint("vault", made, "vault")
    grant("reads-secrets", "Key Vault Secrets User", identity.principal_id, made.id)
    return made


def blobs(group: ResourceGroup, net: Network, identity: Identity) -> storage.StorageAccount:
    """Make the storage of attachments (`files`) and of what is exported for analysis (`exports`)."""
    made = storage.StorageAccount(
        "chatlab",
        resource_group_name=group.name,
        kind="StorageV2",
        sku=storage.SkuArgs(name="Standard_ZRS"),
        is_hns_enabled=True,
        allow_shared_key_access=False,
        allow_blob_public_access=False,
        enable_https_traffic_only=True,
        minimum_tls_version="TLS1_2",
        public_network_access="Disabled",
    )
    for name in ("chatlab", "exports"):
        container = storage.BlobContainer(
            name,
            container_name=name,
            account_name=made.name,
            resource_group_name=group.name,
            public_access=storage.PublicAccess.NONE,
        )
        grant(f"writes-{name}", "Storage Blob Data Contributor", identity.principal_id, container.id)
    net.endpoint("blob", made, "blob")
    net.endpoint("dfs", made, "dfs")
    return made


def database(
    group: ResourceGroup, net: Network, identity: Identity, tenant: str, operators: str
) -> dbforpostgresql.Server:
    """Make PostgreSQL, at which chatlab's identity and the operators sign in by Entra ID, and nobody else."""
    made = dbforpostgresql.Server(
        "chatlab",
        resource_group_name=group.name,
        version="17",
        sku=dbforpostgresql.SkuArgs(name="Standard_D2ds_v5", tier="GeneralPurpose"),
        storage=dbforpostgresql.StorageArgs(storage_size_gb=128, auto_grow="Enabled"),
        backup=dbforpostgresql.BackupArgs(backup_retention_days=14, geo_redundant_backup="Disabled"),
        high_availability=dbforpostgresql.HighAvailabilityArgs(mode="ZoneRedundant"),
        auth_config=dbforpostgresql.AuthConfigArgs(
            active_directory_auth="Enabled",
            password_auth="Disabled",  # noqa: S106
            tenant_id=tenant,
        ),
        network=dbforpostgresql.NetworkArgs(public_network_access="Disabled"),
    )
    net.endpoint("postgres", made, "postgresqlServer")
    last: pulumi.Resource = made
    for name, object_id, kind in (
        ("operators", operators, "Group"),
        ("chatlab", identity.principal_id, "ServicePrincipal"),
    ):
        last = dbforpostgresql.AdministratorsMicrosoftEntra(
            name,
            resource_group_name=group.name,
            server_name=made.name,
            object_id=object_id,
            principal_name=name,
            principal_type=kind,
            tenant_id=tenant,
            opts=pulumi.ResourceOptions(depends_on=[last]),  # the server takes one change at a time
        )
    dbforpostgresql.Database(
        "chatlab",
        database_name="chatlab",
        resource_group_name=group.name,
        server_name=made.name,
        opts=pulumi.ResourceOptions(depends_on=[last]),
    )
    return made


def models(
    group: ResourceGroup, net: Network, identity: Identity, model: str, version: str, capacity: int
) -> cognitiveservices.Account:
    """Make Azure OpenAI with one deployment, named as its model. capacity: in 1,000 tokens a minute."""
    made = cognitiveservices.Account(
        "models",
        resource_group_name=group.name,
        kind="OpenAI",
        sku=cognitiveservices.SkuArgs(name="S0"),
        properties=cognitiveservices.AccountPropertiesArgs(
            # Tokens of Entra ID need a host of one's own; the name is that of the stack and the project.
            custom_sub_domain_name=f"{pulumi.get_project()}-{pulumi.get_stack()}",
            disable_local_auth=True,
            public_network_access="Disabled",
            network_acls=cognitiveservices.NetworkRuleSetArgs(default_action="Deny"),
        ),
    )
    cognitiveservices.Deployment(
        "model",
        deployment_name=model,
        resource_group_name=group.name,
        account_name=made.name,
        sku=cognitiveservices.SkuArgs(name="DataZoneStandard", capacity=capacity),
        properties=cognitiveservices.DeploymentPropertiesArgs(
            model=cognitiveservices.DeploymentModelArgs(format="OpenAI", name=model, version=version)
        ),
    )
    net.endpoint("models", made, "account")
    grant("asks-models", "Cognitive Services OpenAI User", identity.principal_id, made.id)
    return made


def databricks(group: ResourceGroup, net: Network) -> dbx.Workspace:
    """Make the workspace. chatlab's identity becomes a service principal of it there (docs/azure.md)."""
    subscription = authorization.get_client_config_output().subscription_id
    made = dbx.Workspace(
        "chatlab",
        resource_group_name=group.name,
        compute_mode=dbx.ComputeMode.HYBRID,
        managed_resource_group_id=pulumi.Output.concat(
            "/subscriptions/", subscription, "/resourceGroups/", group.name, "-databricks"
        ),
        sku=dbx.SkuArgs(name="premium"),
        public_network_access="Disabled",
        required_nsg_rules="NoAzureDatabricksRules",
        parameters=dbx.WorkspaceCustomParametersArgs(
            enable_no_public_ip=dbx.WorkspaceNoPublicIPBooleanParameterArgs(value=True),
            custom_virtual_network_id=dbx.WorkspaceCustomStringParameterArgs(value=net.id),
            custom_public_subnet_name=dbx.WorkspaceCustomStringParameterArgs(value="databricks-host"),
            custom_private_subnet_name=dbx.WorkspaceCustomStringParameterArgs(value="databricks-container"),
        ),
        opts=pulumi.ResourceOptions(
            depends_on=[net.subnets["databricks-host"], net.subnets["databricks-container"]]
        ),
    )
    net.endpoint("databricks", made, "databricks_ui_api")
    return made


def registry(group: ResourceGroup, net: Network) -> containerregistry.Registry:
    """Make the registry of chatlab's image."""
    made = containerregistry.Registry(
        "chatlab",
        resource_group_name=group.name,
        sku=containerregistry.SkuArgs(name="Premium"),  # which alone has private endpoints
        admin_user_enabled=False,
        anonymous_pull_enabled=False,
        public_network_access="Disabled",
    )
    net.endpoint("registry", made, "registry")
    return made
