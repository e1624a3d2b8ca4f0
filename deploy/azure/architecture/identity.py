"""The identity that chatlab runs as, what each identity may, and the application that people sign in to."""

from __future__ import annotations

from typing import Final

import pulumi
import pulumi_azuread as entra
from pulumi_azure_native import authorization, managedidentity
from pulumi_azure_native.resources import ResourceGroup

SERVICE_ACCOUNT: Final = "system:serviceaccount:chatlab:chatlab"
ALB_ACCOUNT: Final = "system:serviceaccount:azure-alb-system:alb-controller-sa"

ROLES: Final = {
    "Cognitive Services OpenAI User": "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d000e7",
    "AppGw for Containers Configuration Manager": "fbc52c3f-28ad-4303-a892-8a056630b8f1",
}
"""Azure's own roles that are used here, with the ids they have everywhere."""


def workload_identity(group: ResourceGroup, name: str = "chatlab") -> managedidentity.UserAssignedIdentity:
    """Make an identity, without a secret, for something that runs in the cluster."""
    return managedidentity.UserAssignedIdentity(name, resource_name_=name, resource_group_name=group.name)


def may_act_as(
    group: ResourceGroup,
    identity: managedidentity.UserAssignedIdentity,
    issuer: pulumi.Input[str],
    account: str = SERVICE_ACCOUNT,
) -> None:
    """Let a service account of the cluster act as an identity, by the tokens that the cluster gives it.

    issuer: the URL of the cluster's tokens.
    """
    managedidentity.FederatedIdentityCredential(
        account.rpartition(":")[2],
        resource_group_name=group.name,
        resource_name_=identity.name,
        issuer=issuer,
        subject=account,
        audiences=["api://AzureADTokenExchange"],
    )


def grant(name: str, role: str, principal: pulumi.Input[str], scope: pulumi.Input[str]) -> None:
    """Give an identity one of ROLES on one resource. principal: the identity's object id."""
    subscription = authorization.get_client_config_output().subscription_id
    definition = pulumi.Output.concat(
        "/subscriptions/", subscription, "/providers/Microsoft.Authorization/roleDefinitions/", ROLES[role]
    )
    authorization.RoleAssignment(
        name,
        principal_id=principal,
        principal_type="ServicePrincipal",
        role_definition_id=definition,
        scope=scope,
    )


def application(host: str) -> entra.Application:
    """Make the application that people sign in to. It is a public client, with PKCE: there is no secret."""
    made = entra.Application(
        "people",
        display_name="chatlab",
        sign_in_audience="AzureADMyOrg",
        fallback_public_client_enabled=True,
        public_client=entra.ApplicationPublicClientArgs(redirect_uris=[f"https://{host}/auth/callback"]),
        group_membership_claims=["ApplicationGroup"],
        prevent_duplicate_names=True,
    )
    # Nobody comes in who was not assigned to it.
    entra.ServicePrincipal("people", client_id=made.client_id, app_role_assignment_required=True)
    return made
