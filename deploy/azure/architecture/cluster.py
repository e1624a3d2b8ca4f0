"""AKS, and the gateway that is all of it one can reach from outside."""

from __future__ import annotations

from pulumi_azure_native import containerregistry, containerservice, operationalinsights, servicenetworking
from pulumi_azure_native import network as azure
from pulumi_azure_native.resources import ResourceGroup

from architecture.identity import ALB_ACCOUNT, grant, may_act_as, workload_identity
from architecture.network import Network

_UPLOAD_MB = 64  # the largest file that a page takes, `ui.max_file_mb`, with room for what is around it


def cluster(
    group: ResourceGroup,
    net: Network,
    images: containerregistry.Registry,
    logs: operationalinsights.Workspace,
    tenant: str,
    operators: str,
) -> containerservice.ManagedCluster:
    """Make the cluster, private, whose workloads sign in by the tokens that it gives them."""
    own = workload_identity(group, "cluster")
    grant("cluster-in-network", "Network Contributor", own.principal_id, net.subnets["nodes"].id)
    made = containerservice.ManagedCluster(
        "chatlab",
        resource_group_name=group.name,
        dns_prefix="chatlab",
        identity=containerservice.ManagedClusterIdentityArgs(
            type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[own.id]
        ),
        disable_local_accounts=True,
        enable_rbac=True,
        aad_profile=containerservice.ManagedClusterAADProfileArgs(
            managed=True, enable_azure_rbac=False, tenant_id=tenant, admin_group_object_ids=[operators]
        ),
        api_server_access_profile=containerservice.ManagedClusterAPIServerAccessProfileArgs(
            enable_private_cluster=True, enable_private_cluster_public_fqdn=False
        ),
        oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
        security_profile=containerservice.ManagedClusterSecurityProfileArgs(
            workload_identity=containerservice.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True)
        ),
        network_profile=containerservice.ContainerServiceNetworkProfileArgs(
            network_plugin="azure",
            network_plugin_mode="overlay",
            network_dataplane="cilium",  # which holds the NetworkPolicies of the manifests
            network_policy="cilium",
            outbound_type="userAssignedNATGateway",
            service_cidr="10.21.0.0/16",
            dns_service_ip="10.21.0.10",
        ),
        agent_pool_profiles=[
            containerservice.ManagedClusterAgentPoolProfileArgs(
                name="nodes",
                mode="System",
                vm_size="Standard_D4ads_v5",
                os_sku="AzureLinux",
                enable_auto_scaling=True,
                min_count=3,
                max_count=12,
                count=3,
                availability_zones=["1", "2", "3"],
                enable_node_public_ip=False,
                vnet_subnet_id=net.subnets["nodes"].id,
            )
        ],
        addon_profiles={
            "omsagent": containerservice.ManagedClusterAddonProfileArgs(
                enabled=True,
                config={"logAnalyticsWorkspaceResourceID": logs.id, "useAADAuth": "true"},
            )
        },
    )
    nodes = made.identity_profile.apply(lambda one: (one or {})["kubeletidentity"].object_id or "")
    grant("nodes-pull-images", "AcrPull", nodes, images.id)
    return made


def gateway(
    group: ResourceGroup, net: Network, kubernetes: containerservice.ManagedCluster
) -> servicenetworking.FrontendsInterface:
    """Make Application Gateway for Containers with its firewall, and let the cluster's controller set it."""
    controller = servicenetworking.TrafficControllerInterface("gateway", resource_group_name=group.name)
    servicenetworking.AssociationsInterface(
        "gateway",
        resource_group_name=group.name,
        traffic_controller_name=controller.name,
        association_type="subnets",
        subnet=servicenetworking.AssociationSubnetArgs(id=net.subnets["gateway"].id),
    )
    servicenetworking.SecurityPoliciesInterface(
        "firewall",
        resource_group_name=group.name,
        traffic_controller_name=controller.name,
        waf_policy=servicenetworking.WafPolicyArgs(id=_firewall(group).id),
    )
    setting = workload_identity(group, "alb-controller")
    may_act_as(group, setting, kubernetes.oidc_issuer_profile.issuer_url, ALB_ACCOUNT)
    role = "AppGw for Containers Configuration Manager"
    grant("controller-sets-gateway", role, setting.principal_id, controller.id)
    subnet = net.subnets["gateway"].id
    grant("controller-in-network", "Network Contributor", setting.principal_id, subnet)
    return servicenetworking.FrontendsInterface(
        "chat", resource_group_name=group.name, traffic_controller_name=controller.name
    )


def _firewall(group: ResourceGroup) -> azure.WebApplicationFirewallPolicy:
    """Make the firewall's rules. What people write to a model often looks like an attack: SQL, scripts and
    shell commands are what they ask about. So the arguments of requests, the bodies of JSON among them, are
    left out of the rules that look for those; addresses, headers and cookies are not.
    """
    left_out = azure.OwaspCrsExclusionEntryArgs(
        match_variable="RequestArgNames",
        selector_match_operator="EqualsAny",
        selector="*",
        exclusion_managed_rule_sets=[
            azure.ExclusionManagedRuleSetArgs(
                rule_set_type="Microsoft_DefaultRuleSet",
                rule_set_version="2.1",
                rule_groups=[
                    azure.ExclusionManagedRuleGroupArgs(rule_group_name=name)
                    for name in ("SQLI", "XSS", "RCE", "LFI", "RFI", "PHP", "JAVA", "NODEJS")
                ],
            )
        ],
    )
    return azure.WebApplicationFirewallPolicy(
        "firewall",
        resource_group_name=group.name,
        policy_settings=azure.PolicySettingsArgs(
            state="Enabled",
            mode="Prevention",
            request_body_check=True,
            request_body_inspect_limit_in_kb=128,
            max_request_body_size_in_kb=_UPLOAD_MB * 1024,
            file_upload_limit_in_mb=_UPLOAD_MB,
        ),
        managed_rules=azure.ManagedRulesDefinitionArgs(
            managed_rule_sets=[
                azure.ManagedRuleSetArgs(rule_set_type="Microsoft_DefaultRuleSet", rule_set_version="2.1"),
                azure.ManagedRuleSetArgs(rule_set_type="Microsoft_BotManagerRuleSet", rule_set_version="1.1"),
            ],
            exclusions=[left_out],
        ),
    )
