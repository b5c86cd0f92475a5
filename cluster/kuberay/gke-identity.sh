#!/usr/bin/env bash
# Workload identity on GKE: pods with the service account bdw-storage act as bdw-worker of cluster/gcp-account.sh, which may
# use the bucket and nothing else. No key is made. May run again at any time.
#
#   bash cluster/kuberay/gke-identity.sh PROJECT NAMESPACE
#
# The Kubernetes cluster needs workload identity (Autopilot has it): `gcloud container clusters update CLUSTER --location
# LOCATION --workload-pool=PROJECT.svc.id.goog`, and node pools with `--workload-metadata=GKE_METADATA`.
set -euo pipefail
[[ $# -eq 2 ]] || { echo "usage: bash cluster/kuberay/gke-identity.sh PROJECT NAMESPACE" >&2; exit 2; }
project=$1 namespace=$2
[[ $namespace =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] || { echo "$namespace: not a namespace's name" >&2; exit 2; }
worker=bdw-worker@$project.iam.gserviceaccount.com

# This account of this namespace of this project's clusters, and no other.
gcloud --quiet --project "$project" iam service-accounts add-iam-policy-binding "$worker" \
  --member="serviceAccount:$project.svc.id.goog[$namespace/bdw-storage]" --role=roles/iam.workloadIdentityUser
kubectl --namespace "$namespace" annotate --overwrite serviceaccount bdw-storage \
  "iam.gke.io/gcp-service-account=$worker"
