"""Azure Monitor: where logs, traces and metrics go."""

from __future__ import annotations

from pulumi_azure_native import applicationinsights, managedidentity, operationalinsights
from pulumi_azure_native.resources import ResourceGroup

from architecture.identity import grant


def monitoring(
    group: ResourceGroup, identity: managedidentity.UserAssignedIdentity
) -> operationalinsights.Workspace:
    """Make the workspace of logs, and Application Insights on it, to which chatlab's identity may write."""
    workspace = operationalinsights.Workspace(
        "logs",
        resource_group_name=group.name,
        sku=operationalinsights.WorkspaceSkuArgs(name="PerGB2018"),
        retention_in_days=30,
        features=operationalinsights.WorkspaceFeaturesArgs(disable_local_auth=True),
    )
    insights = applicationinsights.Component(
        "chatlab",
        resource_group_name=group.name,
        application_type="web",
        kind="web",
        ingestion_mode="LogAnalytics",
        workspace_resource_id=workspace.id,
    )
    grant("writes-telemetry", "Monitoring Metrics Publisher", identity.principal_id, insights.id)
    return workspace
